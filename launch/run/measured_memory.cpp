// An empty rank is measured in a process of its own, data in this one.
#include "launch/run/measured_memory.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <numeric>
#include <string>

#include "launch/run/run.h"
#include "parallel/transport/mpi.h"

namespace interlock {
namespace {

// A network of a few hundred numbers on points that need no file: one step touches every library a rank uses.
constexpr const char* smallest_run = R"(
[model]
name = "mlp"
layers = 2
width = 8
[data]
name = "spirals"
[learning]
rule = "global"
[parallel]
stages = 1
microbatches = 1
[run]
steps = 2
evaluate_every = 0
trace_steps = 0
)";

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

double empty_rank_bytes() {
  const RunSettings settings = read_settings(Config::from_text(smallest_run));
  const auto dataset = make_dataset(settings);
  dataset->open();
  const auto transport = make_mpi();
  run_rank(settings, *transport, dataset, {}, {.checkpoints = false});
  return peak_rss_mib() * 1024 * 1024;
}

double measure_empty_rank() {
  const std::string program = "/proc/self/exe";
  char path[4096];
  const ssize_t length = readlink(program.c_str(), path, sizeof path - 1);
  if (length <= 0) return 0;
  path[length] = '\0';
  // Whatever launched this process must not take the child for one of its ranks.
  const std::string command =
      "env -i PATH=\"$PATH\" HOME=\"$HOME\" OMP_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 "
      "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 '" +
      std::string(path) + "' doctor --rank-memory 2>/dev/null";
  FILE* answer = popen(command.c_str(), "r");
  if (answer == nullptr) return 0;
  double bytes = 0;
  const int found = fscanf(answer, "%lf", &bytes);
  const int status = pclose(answer);
  return found == 1 && status == 0 ? bytes : 0;
}

}  // namespace interlock
