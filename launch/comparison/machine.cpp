#include "launch/comparison/machine.h"

#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
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

double machine_cpu_seconds() {
  // man proc(5): "cpu user nice system idle iowait irq softirq steal ...", in ticks, guests being part of user.
  std::ifstream file("/proc/stat");
  std::string name;
  double user = 0, nice = 0, system = 0, idle = 0, waiting = 0, interrupts = 0, soft_interrupts = 0, stolen = 0;
  file >> name >> user >> nice >> system >> idle >> waiting >> interrupts >> soft_interrupts >> stolen;
  if (!file || name != "cpu") return 0;
  return (user + nice + system + interrupts + soft_interrupts + stolen) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

double others_cpu_share(double cpu_seconds, double own_cpu_seconds, double seconds) {
  const double all = seconds * static_cast<double>(sysconf(_SC_NPROCESSORS_ONLN));
  return all > 0 ? std::clamp((cpu_seconds - own_cpu_seconds) / all, 0.0, 1.0) : 0;
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
