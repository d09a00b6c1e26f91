#include "launch/comparison/machine.h"

#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include <fstream>

#include "launch/comparison/outcome.h"
#include "launch/version/version.h"

namespace interlock {
namespace {

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name"))
      if (const size_t at = line.find(": "); at != std::string::npos) return line.substr(at + 2);
  return "unknown processor";
}

}  // namespace

int machine_cores() {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

void describe_machine(Outcome& outcome) {
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  outcome.host = host;
  outcome.processor = processor_name();
  outcome.cores = machine_cores();
  getloadavg(&outcome.load_before, 1);
  outcome.version = version().interlock;
  outcome.libtorch = version().libtorch;
}

}  // namespace interlock
