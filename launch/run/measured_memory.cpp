// An empty rank is measured in a process of its own, data in this one.
#include "launch/run/measured_memory.h"

#include <ATen/ops/arange.h>
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

// Networks of a few hundred numbers on data that needs no file: two steps touch every library a rank uses, and the code
// of every kernel (an encoder's are 7 MiB more than those of an mlp, in bf16 another 6).
constexpr const char* smallest_mlp = R"(
[model]
name = "mlp"
layers = 2
width = 8
)";
constexpr const char* smallest_encoder = R"(
[model]
name = "roberta"
layers = 2
width = 8
heads = 1
feed_forward = 8
max_length = 8
)";
constexpr const char* smallest_run = R"(
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

// What an encoder reads: every sample is the tokens 0 to 7, all of them predicted.
class FewTokens final : public Dataset {
 public:
  int64_t samples(Split split) const override { return split == Split::training ? 64 : 0; }
  Batch batch(Split, std::span<const int64_t> numbers, BatchParts parts) const override {
    const auto rows = static_cast<int64_t>(numbers.size());
    Batch batch;
    const at::Tensor tokens = at::arange(length, at::kLong).repeat({rows, 1});
    if (parts.inputs) batch.inputs = tokens;
    if (parts.targets) batch.targets = tokens.clone();
    batch.sample_ids.assign(numbers.begin(), numbers.end());
    batch.predicted = rows * length;
    return batch;
  }
  int64_t predicted(Split, std::span<const int64_t> numbers) const override {
    return static_cast<int64_t>(numbers.size()) * length;
  }
  int64_t classes() const override { return length; }
  int64_t features() const override { return length; }
  int64_t sample_length() const override { return length; }
  double unigram_baseline(int64_t) const override { return 0; }
  std::string describe(const Batch&, int64_t) const override { return ""; }

 private:
  static constexpr int64_t length = 8;
};

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

double empty_rank_bytes(const std::string& model, const std::string& precision) {
  const bool encoder = model != "mlp";
  const RunSettings settings =
      read_settings(Config::from_text((encoder ? smallest_encoder : smallest_mlp) + std::string(smallest_run),
                                      {"model.name=" + model, "run.precision=" + precision}));
  const std::shared_ptr<Dataset> dataset = encoder ? std::make_shared<FewTokens>() : make_dataset(settings);
  dataset->open();
  const auto transport = make_mpi();
  run_rank(settings, *transport, dataset, {}, {.checkpoints = false});
  return peak_rss_mib() * 1024 * 1024;
}

double measure_empty_rank(const RunSettings& settings) {
  const std::string program = "/proc/self/exe";
  char path[4096];
  const ssize_t length = readlink(program.c_str(), path, sizeof path - 1);
  if (length <= 0) return 0;
  path[length] = '\0';
  const std::string precision = settings.precision == Precision::bf16      ? "bf16"
                                : settings.precision == Precision::float64 ? "float64"
                                                                           : "float32";
  // Whatever launched this process must not take the child for one of its ranks.
  const std::string command =
      "env -i PATH=\"$PATH\" HOME=\"$HOME\" OMP_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 "
      "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 '" +
      std::string(path) + "' doctor --rank-memory " + settings.model_name + " " + precision + " 2>/dev/null";
  FILE* answer = popen(command.c_str(), "r");
  if (answer == nullptr) return 0;
  double bytes = 0;
  const int found = fscanf(answer, "%lf", &bytes);
  const int status = pclose(answer);
  return found == 1 && status == 0 ? bytes : 0;
}

}  // namespace interlock
