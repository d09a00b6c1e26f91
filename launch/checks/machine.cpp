// Cores, memory, disks and GPUs, as Linux tells them.
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <optional>
#include <sstream>

#include "launch/checks/checks.h"
#include "launch/supervisor/mpirun_command.h"
#include "launch/supervisor/shared_segments.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

constexpr double gib = 1024.0 * 1024 * 1024;

std::string size_text(double bytes) {
  std::ostringstream out;
  out << std::fixed << std::setprecision(1);
  if (bytes >= gib) {
    out << bytes / gib << " GiB";
  } else {
    out << bytes / (1024 * 1024) << " MiB";
  }
  return out.str();
}

std::optional<double> number_in(const std::string& file) {
  std::ifstream stream(file);
  double value = 0;
  return stream >> value ? std::optional(value) : std::nullopt;
}

// kB lines of /proc/meminfo.
double memory_info(const std::string& key) {
  std::ifstream file("/proc/meminfo");
  for (std::string word; file >> word;) {
    double kib = 0;
    if (word == key + ":" && file >> kib) return kib * 1024;
  }
  return 0;
}

std::optional<double> container_limit() { return number_in("/sys/fs/cgroup/memory.max"); }

}  // namespace

double available_memory() {
  const double available = memory_info("MemAvailable");
  const auto limit = container_limit(), used = number_in("/sys/fs/cgroup/memory.current");
  return limit && used ? std::min(available, std::max(0.0, *limit - *used)) : available;
}

const char* name_of(Check::Status status) {
  switch (status) {
    case Check::Status::ok:
      return "ok";
    case Check::Status::warn:
      return "warn";
    case Check::Status::fail:
      return "fail";
  }
  return "fail";
}

// A container may be given less processor time than it sees cores.
Check check_cores() {
  Check check{"cores", Check::Status::ok, message(physical_cores(), " cores"), ""};
  std::ifstream limit("/sys/fs/cgroup/cpu.max");
  double quota = 0, period = 0;
  if (limit >> quota >> period && period > 0) {
    check.found += message(", limited to the time of ", quota / period);
    if (quota / period < physical_cores()) {
      check.status = Check::Status::warn;
      check.advice = "the container's processor limit is below its cores; set parallel.threads by hand";
    }
  }
  return check;
}

Check check_memory() {
  const double total = memory_info("MemTotal"), available = available_memory();
  Check check{"memory", Check::Status::ok, "", ""};
  const auto limit = container_limit();
  const std::string container = limit ? message(", container limit ", size_text(*limit)) : "";
  check.found = message(size_text(available), " available of ", size_text(total), container);
  // A rank of LibTorch alone takes 125 MB, a small model with its optimizer a few hundred.
  if (available < 0.5 * gib) {
    check.status = Check::Status::fail;
    check.advice = "too little for two ranks; end other programs or take a larger machine";
  } else if (available < 2 * gib) {
    check.status = Check::Status::warn;
    check.advice = "enough for small models with few ranks only";
  }
  return check;
}

Check check_disk(const std::string& name, const std::string& folder) {
  Check check{name, Check::Status::ok, "", ""};
  struct statvfs disk {};
  if (statvfs(folder.c_str(), &disk) != 0 || access(folder.c_str(), W_OK | X_OK) != 0) {
    check.status = Check::Status::fail;
    check.found = message(folder, " cannot be written");
    check.advice = "choose another folder, or mend its permissions";
    return check;
  }
  const double free = static_cast<double>(disk.f_bavail) * static_cast<double>(disk.f_frsize);
  check.found = message(size_text(free), " free in ", folder);
  if (free < 0.1 * gib) {
    check.status = Check::Status::fail;
    check.advice = "weights, metrics and traces will not fit; free some space";
  } else if (free < 2 * gib) {
    check.status = Check::Status::warn;
    check.advice = "enough for small runs only";
  }
  return check;
}

// Open MPI's ranks on one machine exchange messages through files in here. Containers often get 64 MiB.
Check check_shared_memory() {
  Check check{"shared memory", Check::Status::ok, "", ""};
  struct statvfs memory {};
  if (statvfs("/dev/shm", &memory) != 0) {
    check.status = Check::Status::warn;
    check.found = "no /dev/shm";
    check.advice = "MPI falls back to files in the temporary folder; mount a tmpfs on /dev/shm";
    return check;
  }
  const double size = static_cast<double>(memory.f_blocks) * static_cast<double>(memory.f_frsize);
  check.found = message("/dev/shm has ", size_text(size));
  if (size < 0.125 * gib) {
    check.status = Check::Status::warn;
    check.advice = "little for more than a few ranks; give the container more (docker run --shm-size=1g)";
  }
  if (const auto left = abandoned_segments(); !left.empty()) {
    int64_t bytes = 0;
    for (const SharedSegment& segment : left) bytes += segment.bytes;
    check.status = Check::Status::warn;
    check.found += message("; killed runs have left ", left.size(), " pieces, ", size_text(static_cast<double>(bytes)));
    check.advice += message(check.advice.empty() ? "" : "; ", "the next `interlock train` here removes them");
  }
  return check;
}

}  // namespace interlock
