#include "launch/run/assemble.h"

#include <algorithm>
#include <numeric>

#include "launch/run/key_place.h"
#include "launch/run/load_weights.h"
#include "models/model.h"
#include "parallel/keeping/weights.h"
#include "parallel/stage/stage.h"
#include "runtime/core/log.h"
#include "runtime/optimization/learning_rate.h"
#include "runtime/storage/weights_set.h"

namespace interlock {
namespace {

// A head above the same blocks is taken over from the file; one that the file lacks keeps its own start values.
void load_local_head(Head& head, const WeightsSet& weights, int stage) {
  const std::vector<std::string> missing = missing_weights(head, weights);
  if (missing.empty()) {
    load_weights(head, weights);
  } else {
    log_warning(message(weights.path(), " has no ", missing.front(), ": the head of stage ", stage, " starts fresh"));
  }
}

// What a head reads through is the readout of these weights.
void load_copies(Head& head, const WeightsSet& weights, const std::optional<Tie>& tie) {
  for (const auto& [name, copy] : head.readout_copies())
    if (const TensorEntry* entry = stored_weight(name, weights, tie))
      at::Tensor(copy).copy_(tensor_view(*entry, weights.bytes(*entry), weights.path()));
}

}  // namespace

std::shared_ptr<Dataset> make_dataset(const RunSettings& settings) {
  // The model, made after it, is the one that refuses a vocabulary or a length that does not fit the data.
  const DatasetSettings parts{settings.config.section("data"), settings.config.section("objective"),
                              settings.config.section("tokenizer"), settings.seed};
  return Datasets::instance().create("dataset", settings.dataset_name, parts);
}

std::shared_ptr<Model> make_model(const RunSettings& settings, const Dataset& dataset) {
  const ModelSettings parts{
      settings.config.section("model"), settings.seed,      dataset.classes(),        dataset.features(),
      dataset.sample_length(),          settings.precision, dataset.predicted_share()};
  return Models::instance().create("model", settings.model_name, parts);
}

void check_settings(const RunSettings& settings) {
  const auto dataset = make_dataset(settings);
  const auto model = make_model(settings, *dataset);
  const auto kinds = model->head_kinds();
  if (std::find(kinds.begin(), kinds.end(), settings.head_kind) == kinds.end())
    settings.config.section("learning")
        .refuse("head", unknown_name("head of model " + settings.model_name, settings.head_kind, kinds));
  if (settings.tied() && !model->tie())
    settings.config.section("model").refuse("tie_embeddings", "this model has no tensors that could be tied");
  make_partition(settings, *model);
  const Section optimizer = settings.config.section("optimizer");
  Optimizers::instance().create("optimizer", settings.optimizer_name, optimizer);
  LearningRate::Config::from(optimizer, settings.steps);
  for (size_t change = 0; change < settings.rules.size(); ++change) plan_request(settings, change);
  settings.config.reject_unknown();
}

std::vector<int> make_partition(const RunSettings& settings, const Model& model) {
  if (!settings.partition.empty()) {
    placing_key(settings.config,
                [&] { check_partition(settings.partition, static_cast<int>(model.blocks()), settings.shape.stages); });
    return settings.partition;
  }
  return placing_key(settings.config, [&] {
    return balanced_partition(model.block_costs(settings.microbatch_size),
                              model.readout_costs(settings.microbatch_size), settings.shape.stages);
  });
}

std::unique_ptr<Stage> make_stage(const RunSettings& settings, const Model& model, const std::vector<int>& partition,
                                  int index, bool with_head, const WeightsSet* weights, int replica) {
  const int64_t begin = std::accumulate(partition.begin(), partition.begin() + index, int64_t{0});
  const int64_t end = begin + partition[index];
  const bool last = index + 1 == settings.shape.stages;
  Stage::Parts parts;
  parts.body = model.body(begin, end);
  parts.head_is_readout = last;
  parts.make_optimizer = [&settings] {
    return Optimizers::instance().create("optimizer", settings.optimizer_name, settings.config.section("optimizer"));
  };
  if (settings.shard_optimizer) parts.share = {replica, settings.shape.replicas};
  parts.recompute = settings.recompute;
  parts.tie = model.tie();
  if (last) {
    parts.head = model.readout();
  } else if (with_head) {
    parts.head = model.head(settings.head_kind, end);
  }
  if (weights != nullptr) {
    load_weights(*parts.body, *weights);
    if (last) load_weights(*parts.head, *weights, parts.tie, model.aliases());
    if (!last && parts.head) {
      load_local_head(*parts.head, *weights, index);
      load_copies(*parts.head, *weights, parts.tie);
    }
  }
  return std::make_unique<Stage>(index, std::move(parts));
}

}  // namespace interlock
