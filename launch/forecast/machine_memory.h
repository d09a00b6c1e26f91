#pragma once
// How much memory the processes of this machine may take together. Free of LibTorch.

#include <string>

namespace interlock {

struct MachineMemory {
  double bytes = 0;   // 0: it cannot be told
  std::string whose;  // "this machine has", or "the control group /a/b allows": what stands before the number
};

// The machine's memory (/proc/meminfo), or the limit of the control group that this process is in or of one above it
// (version 1 or 2), whichever is smaller. `root` stands before the paths, for tests.
MachineMemory machine_memory(const std::string& root = "");

enum class Fit { fits, tight, exceeds };  // tight: more than 90 % of it
Fit fit_of(double bytes, const MachineMemory& memory);

// "the 4 ranks here hold 12.3 GiB together at their peak, and this machine has 8.0 GiB", for a report or an error.
std::string fit_text(double bytes, int ranks, const MachineMemory& memory);

}  // namespace interlock
