#include "launch/comparison/arm_gpus.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <sstream>

#include "runtime/device/cuda_driver.h"

namespace interlock {
namespace {

std::vector<std::string> parts_of(const std::string& list) {
  std::vector<std::string> parts;
  std::istringstream in(list);
  for (std::string part; std::getline(in, part, ',') && !part.empty() && part != "-1";) parts.push_back(part);
  return parts;
}

}  // namespace

std::vector<std::string> visible_gpus(const std::string& devices) {
  if (const char* given = std::getenv("CUDA_VISIBLE_DEVICES")) return parts_of(given);
  std::vector<std::string> gpus;
  for (size_t i = 0; i < gpu_files(devices).size(); ++i) gpus.push_back(std::to_string(i));
  return gpus;
}

std::vector<size_t> gpus_for(const std::vector<int>& arms_on_gpu, int ranks) {
  std::vector<size_t> gpus(arms_on_gpu.size());
  std::iota(gpus.begin(), gpus.end(), size_t{0});
  std::ranges::stable_sort(gpus, {}, [&](size_t gpu) { return arms_on_gpu[gpu]; });
  gpus.resize(std::min(gpus.size(), static_cast<size_t>(std::max(ranks, 1))));
  std::ranges::sort(gpus);
  return gpus;
}

}  // namespace interlock
