#include "launch/settings/parts.h"

#include <algorithm>

#include "launch/settings/key_place.h"
#include "launch/settings/plans.h"
#include "models/model.h"
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

}  // namespace interlock
