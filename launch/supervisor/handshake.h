#pragma once
// How a launcher of ours knows that it has started ranks, and a process that a launcher of ours stands above it.
// Without the one, an mpirun that starts nothing looks like a run that went well; without the other, a copy that mpirun
// tells nothing about its rank would start an mpirun of its own, and so would its copies.

#include <string>

namespace interlock {

// In the environment of everything below a launcher of ours, mpirun too.
inline constexpr const char* supervised_variable = "INTERLOCK_SUPERVISED";
bool is_supervised();
// Error(config) in a process below a launcher of ours: there it is a rank or nothing.
void refuse_second_launch();

// The word by which ranks show that they belong to this launch: no other has the same.
inline constexpr const char* launch_variable = "INTERLOCK_LAUNCH";
std::string new_launch_word();
// A line on stderr, which mpirun carries to its launcher from any host, and which the launcher keeps to itself.
inline constexpr const char* ranks_are_up_marker = "interlock: ranks are up ";
// By rank 0, once all ranks have met. Nothing where no launcher of ours asks for it.
void say_that_ranks_are_up();

}  // namespace interlock
