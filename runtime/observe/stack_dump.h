#pragma once
// Where a rank stands in its program, for the verdict on a hung run: asked by SIGUSR2, its training thread writes its
// stack beside its pulse. A rank that is stopped cannot.

#include <cstdint>
#include <string>

namespace interlock {

// To be called by the thread that trains, once per process.
void dump_stack_on_request(const std::string& run_folder, int rank);

// What the rank has written, without our own frames: at most so many lines of printable text; "": nothing.
std::string read_stack(const std::string& run_folder, int64_t rank, int most_lines = 24);
// What earlier requests have left would be taken for an answer.
void forget_stacks(const std::string& run_folder);

}  // namespace interlock
