#include "launch/run/empty_rank.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/zeros.h>

#include <cstdlib>
#include <cstring>
#include <fstream>

#include "launch/forecast/estimate.h"
#include "launch/forecast/run_plans.h"
#include "launch/run/run.h"
#include "launch/settings/parts.h"
#include "models/model.h"
#include "parallel/plan/peak_memory.h"
#include "parallel/training/summary.h"
#include "parallel/transport/mpi.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

// A network of a few hundred numbers on data that needs no file: two steps touch every library a rank uses, and the
// code of every kernel (an encoder's are 7 MiB more than those of an mlp, in bf16 another 6). Each model reads the keys
// that it knows.
constexpr const char* smallest_run = R"(
[model]
layers = 2
width = 8
heads = 1
feed_forward = 8
max_length = 8
blocks = [1]
widths = [8]
[data]
name = "spirals"
[learning]
rule = "global"
[parallel]
stages = 1
microbatches = 1
[checkpoint]
every = 0
[run]
device = "cpu"
steps = 2
evaluate_every = 0
trace_steps = 0
)";

// What is given to a model that the data below suits, besides.
using Overrides = std::vector<std::string>;
// An encoder's products are as small as those can be that take the way of large ones (2^24 multiplications,
// models/blocks/functions.cpp), whose code and buffers no small product touches.
const Overrides of_encoder = {"model.layers=1", "model.width=256", "model.feed_forward=256",
                              "parallel.microbatch_size=32"};

// Samples that are all alike and need no file.
class FewSamples : public Dataset {
 public:
  int64_t samples(Split split) const override { return split == Split::training ? 64 : 0; }
  double unigram_baseline(int64_t) const override { return 0; }
  std::string describe(const Batch&, int64_t) const override { return ""; }
};

// For a model that reads tokens: every sample is the tokens 0 to 7, all of them predicted.
class FewTokens final : public FewSamples {
 public:
  explicit FewTokens(Objective objective) : objective_(objective) {}
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
  Objective objective() const override { return objective_; }
  SampleContent content() const override { return SampleContent::tokens; }

 private:
  static constexpr int64_t length = 8;
  Objective objective_;
};

// For a model of images: black ones of one class.
class FewImages final : public FewSamples {
 public:
  Batch batch(Split, std::span<const int64_t> numbers, BatchParts parts) const override {
    const auto rows = static_cast<int64_t>(numbers.size());
    Batch batch;
    if (parts.inputs) batch.inputs = at::zeros({rows, features()});
    if (parts.targets) batch.targets = at::zeros({rows}, at::kLong);
    batch.sample_ids.assign(numbers.begin(), numbers.end());
    batch.predicted = rows;
    return batch;
  }
  int64_t predicted(Split, std::span<const int64_t> numbers) const override { return std::ssize(numbers); }
  int64_t classes() const override { return 2; }
  int64_t features() const override { return image().numbers(); }
  int64_t sample_length() const override { return 1; }
  ImageShape image() const override { return {3, 8, 8}; }
  Objective objective() const override { return Objective::classification; }
};

// "RssFile:   91296 kB" of /proc/self/status: pages of files that are in memory. 0 where that is not told.
double resident_file_bytes() {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("RssFile:")) return std::strtod(line.c_str() + std::strlen("RssFile:"), nullptr) * 1024;
  return 0;
}

struct SmallestRun {
  RunSettings settings;
  std::shared_ptr<Dataset> dataset;
};

// The first kind of data that the model takes.
SmallestRun smallest_run_of(const Overrides& chosen, bool large_products) {
  const Overrides encoder = large_products ? of_encoder : Overrides{};
  const RunSettings plain = read_settings(Config::from_text(smallest_run, chosen));
  const std::pair<std::shared_ptr<Dataset>, Overrides> kinds[] = {
      {std::make_shared<FewTokens>(Objective::masked), encoder},
      {std::make_shared<FewTokens>(Objective::causal), encoder},
      {make_dataset(plain), {}},
      {std::make_shared<FewImages>(), {}},
  };
  std::string refused;
  for (const auto& [dataset, more] : kinds) {
    Overrides all = chosen;
    all.insert(all.end(), more.begin(), more.end());
    const RunSettings settings = read_settings(Config::from_text(smallest_run, all));
    try {
      const bool takes_tokens = make_model(settings, *dataset)->input_type() == at::kLong;
      if (takes_tokens == (dataset->content() == SampleContent::tokens)) return {settings, dataset};
    } catch (const Error& error) {
      refused = error.what();
    }
  }
  throw Error(ExitCode::config, refused);
}

}  // namespace

EmptyRank empty_rank(const std::string& model, const std::string& precision, bool large_products) {
  const auto [settings, dataset] =
      smallest_run_of({"model.name=" + model, "run.precision=" + precision}, large_products);
  dataset->open();
  const auto transport = make_mpi();
  run_rank(settings, *transport, dataset, {}, {.checkpoints = false});
  const auto network = make_model(settings, *dataset);
  const Plan plan = make_plans(settings, *network).front().plan;
  const SimulationCosts costs = estimate_costs(settings, *network, make_partition(settings, *network), plan.flows);
  return {peak_rss_mib() * 1024 * 1024 - peak_bytes(plan, costs, 0), resident_file_bytes()};
}

}  // namespace interlock
