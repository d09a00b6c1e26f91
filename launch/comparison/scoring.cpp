#include "launch/comparison/scoring.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>

#include "launch/comparison/trained_model.h"
#include "launch/settings/parts.h"
#include "launch/stored_model/batch_workers.h"
#include "runtime/core/error.h"
#include "runtime/core/printable.h"
#include "runtime/storage/atomic_file.h"
#include "runtime/storage/json_file.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

using Losses = std::vector<LossValue>;  // by stage; count 0 where there is no head

Losses losses_of(const TrainedModel& model, const Batch& batch) {
  const ForwardContext context{.batch = &batch, .training = false};
  Losses losses(model.stages.size());
  at::Tensor hidden = batch.inputs;
  for (size_t stage = 0; stage < model.stages.size(); ++stage) {
    hidden = model.stages[stage].body->forward(hidden, context);
    if (!model.stages[stage].head) continue;
    const LossSum loss = model.stages[stage].head->loss(hidden, context);
    losses[stage] = {loss.sum.item<double>(), loss.count};
  }
  return losses;
}

// A thousand tokens or so: large enough for fast products.
int64_t batch_size(const Dataset& dataset) {
  return std::max<int64_t>(1, 1024 / std::max<int64_t>(1, dataset.sample_length()));
}

std::vector<Losses> batch_losses(const TrainedModel& model, const Dataset& dataset, int64_t samples, int threads,
                                 const std::function<void()>& still) {
  const int64_t size = batch_size(dataset);
  std::vector<Losses> all(static_cast<size_t>((samples + size - 1) / size));
  const auto score = [&](int64_t batch) {
    const int64_t first = batch * size;
    std::vector<int64_t> numbers(static_cast<size_t>(std::min(size, samples - first)));
    std::iota(numbers.begin(), numbers.end(), first);
    all[static_cast<size_t>(batch)] = losses_of(model, dataset.batch(Split::held_out, numbers));
  };
  for_each_batch(static_cast<int64_t>(all.size()), threads, score, [&](int64_t) {
    if (still) still();
  });
  return all;
}

json as_json(const TestScore& score, const std::string& key) {
  json exits = json::object();
  for (const auto& [stage, loss] : score.exits) exits[std::to_string(stage)] = loss;
  return {
      {"key", key}, {"loss", score.loss}, {"exits", exits}, {"targets", score.targets}, {"sequences", score.sequences}};
}

}  // namespace

Config test_config(const std::string& folder, const TestRequest& request) {
  std::vector<std::string> overrides;
  if (request.paths.empty()) {
    overrides.emplace_back("data.held_out_part=test");
  } else {
    overrides.push_back("data.validation_paths=" + toml_quoted(request.paths, "the test file"));
  }
  std::error_code absent;
  if (const fs::path tokenizer = fs::path(folder) / "tokenizer"; fs::exists(tokenizer, absent))
    overrides.push_back("tokenizer.path=" + toml_quoted(tokenizer.string(), "the tokenizer"));
  return Config::from_file((fs::path(folder) / "config.toml").string(), overrides);
}

TestScore score_run(const std::string& folder, const TestRequest& request, const std::function<void()>& still) {
  const RunSettings settings = read_settings(test_config(folder, request));
  const auto dataset = make_dataset(settings);
  dataset->open();
  const TrainedModel model = load_trained_model(settings, *dataset, folder);
  TestScore score;
  score.sequences = std::min(request.sequences, dataset->samples(Split::held_out));
  std::vector<LossValue> sums(model.stages.size());
  for (const Losses& losses : batch_losses(model, *dataset, score.sequences, request.threads, still))
    for (size_t stage = 0; stage < losses.size(); ++stage) {
      sums[stage].sum += losses[stage].sum;
      sums[stage].count += losses[stage].count;
    }
  for (size_t stage = 0; stage < sums.size(); ++stage)
    if (sums[stage].count > 0)
      score.exits[static_cast<int>(stage)] = sums[stage].sum / static_cast<double>(sums[stage].count);
  score.targets = sums.back().count;
  if (score.targets == 0) throw Error(ExitCode::bad_input, folder + ": there is nothing to predict in the test split");
  score.loss = score.exits.rbegin()->second;
  for (const auto& [stage, loss] : score.exits)
    if (!std::isfinite(loss))
      throw Error(ExitCode::bad_input, message("on the test split the loss of stage ", stage, " is not finite"));
  return score;
}

TestScore score_once(const std::string& folder, const std::string& digest, const TestRequest& request,
                     const std::function<void()>& still) {
  const std::string file = folder + ".test.json";
  const std::string key = message(digest, " ", request.sequences, " ", json(request.paths).dump());
  std::error_code absent;
  if (fs::exists(file, absent)) {
    const json kept = read_json(file);
    if (kept.is_object() && kept.value("key", "") == key) {
      TestScore score{kept.at("loss"), {}, kept.at("targets"), kept.at("sequences")};
      for (const auto& [stage, loss] : kept.at("exits").items()) score.exits[std::stoi(stage)] = loss;
      return score;
    }
  }
  const TestScore score = score_run(folder, request, still);
  write_atomically(file, as_json(score, key).dump(2) + "\n");
  return score;
}

}  // namespace interlock
