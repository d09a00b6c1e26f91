#include "launch/comparison/arm_gpus.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <string_view>

namespace interlock {
namespace {

// "nvidia0", beside "nvidiactl", "nvidia-uvm" and "nvidia-caps".
bool is_gpu(const std::string& file) {
  constexpr std::string_view before = "nvidia";
  return file.size() > before.size() && file.starts_with(before) &&
         file.find_first_not_of("0123456789", before.size()) == std::string::npos;
}

std::vector<std::string> parts_of(const std::string& list) {
  std::vector<std::string> parts;
  std::istringstream in(list);
  for (std::string part; std::getline(in, part, ',');) parts.push_back(part);
  return parts;
}

}  // namespace

std::vector<std::string> visible_gpus(const std::string& devices) {
  if (const char* given = std::getenv("CUDA_VISIBLE_DEVICES")) return parts_of(given);
  std::error_code absent;
  std::vector<std::string> gpus;
  for (const auto& entry : std::filesystem::directory_iterator(devices, absent))
    if (is_gpu(entry.path().filename().string())) gpus.push_back(std::to_string(gpus.size()));
  return gpus;
}

std::string gpus_of_arm(const std::vector<std::string>& gpus, size_t place, int ranks) {
  if (gpus.size() < 2) return "";
  const size_t count = std::min(gpus.size(), static_cast<size_t>(std::max(ranks, 1)));
  std::string list;
  for (size_t i = 0; i < count; ++i) list += (i == 0 ? "" : ",") + gpus[(place * count + i) % gpus.size()];
  return list;
}

}  // namespace interlock
