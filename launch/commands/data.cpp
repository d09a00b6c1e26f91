// `interlock data`: one microbatch exactly as `train` sees it.

#include <CLI/CLI.hpp>
#include <iomanip>
#include <iostream>
#include <limits>
#include <nlohmann/json.hpp>

#include "launch/command.h"
#include "launch/settings/parts.h"
#include "launch/terminal/json_line.h"
#include "runtime/data/loader.h"

namespace interlock {
namespace {

using nlohmann::ordered_json;

struct Shares {
  int64_t predicted = 0, masked = 0, random = 0, kept = 0;
};

bool has_tokens(const Batch& batch) { return batch.inputs.scalar_type() == at::kLong; }
bool predicts_tokens(const Batch& batch) { return has_tokens(batch) && batch.targets.dim() == 2; }
bool is_masked(const Dataset& dataset, const Batch& batch) {
  return predicts_tokens(batch) && dataset.mask_token() >= 0;
}

ordered_json targets_of(const Batch& batch) {
  const auto list = [&]<class T>(const T* data) { return std::vector<T>(data, data + batch.targets.numel()); };
  if (batch.targets.scalar_type() == at::kFloat) return list(batch.targets.const_data_ptr<float>());
  return list(batch.targets.const_data_ptr<int64_t>());
}

// What stands in the predicted places. A random token that equals the true one cannot be told from a kept one (of bytes
// 1 in 256).
Shares shares_of(const Dataset& dataset, const Batch& batch) {
  Shares shares;
  const int64_t *inputs = batch.inputs.const_data_ptr<int64_t>(), *targets = batch.targets.const_data_ptr<int64_t>();
  for (int64_t place = 0; place < batch.targets.numel(); ++place) {
    if (targets[place] == ignored_target) continue;
    ++shares.predicted;
    ++(inputs[place] == dataset.mask_token() ? shares.masked
       : inputs[place] == targets[place]     ? shares.kept
                                             : shares.random);
  }
  return shares;
}

std::vector<int64_t> lengths_of(const Batch& batch) {
  std::vector<int64_t> lengths(batch.sample_ids.size(), batch.inputs.size(1));
  if (batch.lengths.defined()) {
    const int64_t* known = batch.lengths.const_data_ptr<int64_t>();
    lengths.assign(known, known + lengths.size());
  }
  return lengths;
}

template <class T>
ordered_json rows_of(const at::Tensor& tensor) {
  ordered_json rows = ordered_json::array();
  const T* data = tensor.const_data_ptr<T>();
  const int64_t width = tensor.size(1);
  for (int64_t row = 0; row < tensor.size(0); ++row) {
    rows.push_back(std::vector<T>(data + row * width, data + (row + 1) * width));
  }
  return rows;
}

class Data final : public Command {
 public:
  std::string summary() const override { return "show a microbatch as training sees it"; }

  void declare(CLI::App& app) override {
    app.add_option("config", config_, "a TOML config")->required();
    app.add_option("--set", overrides_, "override a key: section.key=value")
        ->type_name("KEY=VALUE")
        ->allow_extra_args(false);
    app.add_option("--step", step_, "step, from 1");
    app.add_option("--microbatch", microbatch_, "microbatch, from 0");
    app.add_option("--replica", replica_, "replica, from 0");
    app.add_flag("--json", json_, "print one JSON object");
  }

  int run() override {
    const RunSettings settings = read_settings(Config::from_file(config_, overrides_));
    check_settings(settings);
    const BatchShape shape = settings.parallel.batch_shape();
    check_range("--step", step_, 1, std::numeric_limits<int64_t>::max() / shape.samples_per_step());
    check_range("--replica", replica_, 0, shape.replicas - 1);
    const std::shared_ptr<Dataset> dataset = make_dataset(settings);
    dataset->open();
    const Loader loader(dataset, shape, settings.parallel.batch.phases);
    check_range("--microbatch", microbatch_, 0, loader.microbatches(step_) - 1);
    const Batch batch = loader.training(step_, replica_, microbatch_);
    if (json_) {
      std::cout << json_line(as_json(*dataset, batch)) << std::flush;
    } else {
      print(*dataset, batch);
    }
    return static_cast<int>(ExitCode::done);
  }

 private:
  static void check_range(const std::string& option, int64_t value, int64_t least, int64_t most) {
    if (value < least || value > most) {
      throw Error(ExitCode::usage,
                  message(option, " ", value, " is out of range: this config has ", least, " to ", most));
    }
  }

  ordered_json as_json(const Dataset& dataset, const Batch& batch) const {
    ordered_json result = {{"step", step_}, {"replica", replica_}, {"microbatch", microbatch_}};
    result["sample_ids"] = batch.sample_ids;
    result["samples"] = {{"training", dataset.samples(Split::training)},
                         {"held_out", dataset.samples(Split::held_out)}};
    result["predicted"] = batch.predicted;
    if (has_tokens(batch)) {
      result["tokens"] = rows_of<int64_t>(batch.inputs);
      result["targets"] = predicts_tokens(batch) ? rows_of<int64_t>(batch.targets) : targets_of(batch);
      result["lengths"] = lengths_of(batch);
      if (!dataset.labels().empty()) result["labels"] = dataset.labels();
    } else {
      result["inputs"] = rows_of<float>(batch.inputs);
      result["targets"] = targets_of(batch);
    }
    if (batch.positions.defined()) result["positions"] = rows_of<int64_t>(batch.positions);
    if (is_masked(dataset, batch)) {
      const Shares shares = shares_of(dataset, batch);
      result["shares"] = {{"masked", share(shares.masked, shares)},
                          {"random", share(shares.random, shares)},
                          {"kept", share(shares.kept, shares)}};
    }
    for (int64_t row = 0; row < batch.inputs.size(0); ++row) result["text"].push_back(dataset.describe(batch, row));
    return result;
  }

  void print(const Dataset& dataset, const Batch& batch) const {
    std::cout << "step " << step_ << ", replica " << replica_ << ", microbatch " << microbatch_ << ": "
              << batch.sample_ids.size() << " samples; an epoch has " << dataset.samples(Split::training) << ", "
              << dataset.samples(Split::held_out) << " are held out\n";
    for (const std::string& note : dataset.notes()) std::cout << note << "\n";
    const bool tokens = has_tokens(batch);
    const std::vector<int64_t> lengths = tokens ? lengths_of(batch) : std::vector<int64_t>();
    for (size_t row = 0; row < batch.sample_ids.size(); ++row) {
      std::cout << "sample " << batch.sample_ids[row];
      if (tokens) std::cout << ", " << lengths[row] << " tokens";
      std::cout << ": " << dataset.describe(batch, static_cast<int64_t>(row)) << '\n';
    }
    if (!is_masked(dataset, batch)) return;
    const Shares shares = shares_of(dataset, batch);
    std::cout << std::fixed << std::setprecision(1) << shares.predicted
              << " predicted places: " << 100 * share(shares.masked, shares) << " % masked, "
              << 100 * share(shares.random, shares) << " % random, " << 100 * share(shares.kept, shares) << " % kept\n";
  }

  static double share(int64_t part, const Shares& shares) {
    return static_cast<double>(part) / static_cast<double>(shares.predicted);
  }

  std::string config_;
  std::vector<std::string> overrides_;
  int64_t step_ = 1, microbatch_ = 0, replica_ = 0;
  bool json_ = false;
};

const Registration<Command> registered("data", [] { return std::make_unique<Data>(); });

}  // namespace
}  // namespace interlock
