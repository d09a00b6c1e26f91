#include "launch/forecast/machine_memory.h"

#include <charconv>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <vector>

#include "runtime/core/error.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;

constexpr double tight_from = 0.9;

// MemTotal:       24684092 kB
double total_of_machine(const std::string& root) {
  std::ifstream file(root + "/proc/meminfo");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    double kibibytes = 0;
    if (words >> name >> kibibytes && name == "MemTotal:") return kibibytes * 1024;
  }
  return 0;
}

// Of a limit file; "max" and whatever else is no number is none.
std::optional<double> limit_in(const fs::path& file) {
  std::ifstream in(file);
  std::string text;
  if (!(in >> text)) return std::nullopt;
  uint64_t bytes = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), bytes);
  if (problem != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return static_cast<double>(bytes);
}

// Fine enough for a limit to be told from what comes near it.
std::string amount(double bytes) {
  constexpr double mebibyte = 1 << 20, gibibyte = 1 << 30;
  char text[64];
  if (bytes < 10 * gibibyte) {
    std::snprintf(text, sizeof text, "%.0f MiB", bytes / mebibyte);
  } else {
    std::snprintf(text, sizeof text, bytes < 100 * gibibyte ? "%.1f GiB" : "%.0f GiB", bytes / gibibyte);
  }
  return text;
}

struct Hierarchy {
  std::string mount, file, group;
};

// Lines of /proc/self/cgroup are NUMBER:CONTROLLERS:GROUP; version 2 is number 0 without controllers.
std::vector<Hierarchy> hierarchies(const std::string& root) {
  std::vector<Hierarchy> found;
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",",
                      group = line.substr(second + 1);
    if (controllers == ",,") found.push_back({root + "/sys/fs/cgroup", "memory.max", group});
    if (controllers.find(",memory,") != std::string::npos)
      found.push_back({root + "/sys/fs/cgroup/memory", "memory.limit_in_bytes", group});
  }
  return found;
}

}  // namespace

MachineMemory machine_memory(const std::string& root) {
  MachineMemory memory{total_of_machine(root), "this machine has"};
  for (const Hierarchy& hierarchy : hierarchies(root)) {
    // In a container the group's path may be that of the host, and the mount show the group itself: the root counts
    // too.
    for (fs::path group = hierarchy.group;; group = group.parent_path()) {
      const auto limit = limit_in(hierarchy.mount + group.string() + "/" + hierarchy.file);
      if (limit && (memory.bytes == 0 || *limit < memory.bytes))
        memory = {*limit, message("the control group ", group.string(), " allows")};
      if (!group.has_relative_path()) break;
    }
  }
  return memory;
}

Fit fit_of(double bytes, const MachineMemory& memory) {
  if (memory.bytes == 0) return Fit::fits;
  return bytes > memory.bytes ? Fit::exceeds : bytes > tight_from * memory.bytes ? Fit::tight : Fit::fits;
}

std::string fit_text(double bytes, int ranks, const MachineMemory& memory) {
  return message(ranks == 1 ? std::string("the rank here holds ") : message("the ", ranks, " ranks here hold "),
                 amount(bytes), ranks == 1 ? "" : " together", " at ", ranks == 1 ? "its" : "their", " peak, and ",
                 memory.whose, " ", amount(memory.bytes));
}

}  // namespace interlock
