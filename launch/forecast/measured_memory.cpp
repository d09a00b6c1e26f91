// An empty rank is measured in a process of its own, data in this one.
#include "launch/forecast/measured_memory.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <numeric>
#include <string>

#include "launch/settings/parts.h"
#include "runtime/data/dataset.h"

namespace interlock {
namespace {

double resident_bytes() {
  std::ifstream status("/proc/self/statm");
  int64_t size = 0, resident = 0;
  status >> size >> resident;
  return static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE));
}

}  // namespace

double measure_data(const RunSettings& settings) {
  const double before = resident_bytes();
  try {
    const auto dataset = make_dataset(settings);
    dataset->open();
    // A few steps' worth of samples, so that what reading keeps is there too.
    std::vector<int64_t> numbers(static_cast<size_t>(std::min<int64_t>(256, dataset->samples(Split::training))));
    std::iota(numbers.begin(), numbers.end(), 0);
    dataset->batch(Split::training, numbers);
    return std::max(0.0, resident_bytes() - before);
  } catch (const Error&) {
    return 0;  // a plan can be made where the data is not
  }
}

double measure_empty_rank(const RunSettings& settings) {
  const std::string program = "/proc/self/exe";
  char path[4096];
  const ssize_t length = readlink(program.c_str(), path, sizeof path - 1);
  if (length <= 0) return 0;
  path[length] = '\0';
  // Whatever launched this process must not take the child for one of its ranks.
  const std::string command =
      "env -i PATH=\"$PATH\" HOME=\"$HOME\" OMP_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 "
      "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 '" +
      std::string(path) + "' doctor --rank-memory " + settings.model_name + " " + name_of(settings.precision) +
      " 2>/dev/null";
  FILE* answer = popen(command.c_str(), "r");
  if (answer == nullptr) return 0;
  double bytes = 0;
  const int found = fscanf(answer, "%lf", &bytes);
  const int status = pclose(answer);
  return found == 1 && status == 0 ? bytes : 0;
}

}  // namespace interlock
