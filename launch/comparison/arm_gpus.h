#pragma once
// Which GPUs an arm gets where several run at a time: without this all would take the first.

#include <cstddef>
#include <string>
#include <vector>

namespace interlock {

// The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them: its value, or else a number for each device
// file in `devices`; as CUDA does it, up to the first that is none. No driver is asked, since that must not happen in a
// process that forks.
std::vector<std::string> visible_gpus(const std::string& devices = "/dev");

// Of GPUs on which so many arms run, those for an arm of `ranks`: one for each rank as far as there are enough, those
// with the fewest arms, of equals the first. Their numbers, ascending.
std::vector<size_t> gpus_for(const std::vector<int>& arms_on_gpu, int ranks);

}  // namespace interlock
