#include "launch/settings/parts.h"

#include <algorithm>

#include "launch/settings/key_place.h"
#include "launch/settings/plans.h"
#include "models/frozen_model.h"
#include "models/model.h"
#include "parallel/plan/partition.h"
#include "runtime/core/nearest_name.h"
#include "runtime/optimization/learning_rate.h"
#include "runtime/optimization/optimizer.h"

namespace interlock {

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
  const std::vector<std::string> patterns = parts.model.texts("frozen", {});
  return placing_key(settings.config,
                     [&] { return freeze(Models::instance().create("model", settings.model_name, parts), patterns); });
}

namespace {

// Asked for only where it stands: a model that cannot tie must not seem to know the key.
bool asks_for_tie(const RunSettings& settings) {
  const Section model = settings.config.section("model");
  return model.has("tie_embeddings") && model.flag("tie_embeddings", false);
}

}  // namespace

void check_settings(const RunSettings& settings) {
  const auto dataset = make_dataset(settings);
  const auto model = make_model(settings, *dataset);
  const auto kinds = model->head_kinds();
  if (std::find(kinds.begin(), kinds.end(), settings.learning.head_kind) == kinds.end())
    settings.config.section("learning")
        .refuse("head", unknown_name("head of model " + settings.model_name, settings.learning.head_kind, kinds));
  if (asks_for_tie(settings) && !model->tie())
    settings.config.section("model").refuse("tie_embeddings", "this model has no tensors that could be tied");
  make_partition(settings, *model);
  const Section optimizer = settings.config.section("optimizer");
  Optimizers::instance().create("optimizer", settings.optimizer_name, optimizer);
  LearningRate::Config::from(optimizer, settings.steps);
  for (size_t change = 0; change < settings.learning.rules.size(); ++change) plan_request(settings, *model, change);
  settings.config.reject_unknown();
}

std::vector<int> make_partition(const RunSettings& settings, const Model& model) {
  if (!settings.parallel.partition.empty()) {
    placing_key(settings.config, [&] {
      check_partition(settings.parallel.partition, static_cast<int>(model.blocks()), settings.parallel.shape.stages);
    });
    return settings.parallel.partition;
  }
  return placing_key(settings.config, [&] {
    return balanced_partition(model.block_costs(settings.parallel.batch.microbatch_size),
                              model.readout_costs(settings.parallel.batch.microbatch_size),
                              settings.parallel.shape.stages);
  });
}

}  // namespace interlock
