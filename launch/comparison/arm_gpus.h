#pragma once
// Which GPUs an arm gets where several run at a time: without this all would take the first.

#include <cstddef>
#include <string>
#include <vector>

namespace interlock {

// The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them: its value, or else a number for each device
// file in `devices`. No driver is asked, since that must not happen in a process that forks.
std::vector<std::string> visible_gpus(const std::string& devices = "/dev");

// CUDA_VISIBLE_DEVICES of the arm that is number `place` among those that run, from 0, with so many ranks: a GPU for
// each rank, beside those of the arms before it as long as there are enough. "": all of them, as there is at most one.
std::string gpus_of_arm(const std::vector<std::string>& gpus, size_t place, int ranks);

}  // namespace interlock
