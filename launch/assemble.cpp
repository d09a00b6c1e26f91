#include "launch/assemble.h"

#include <algorithm>
#include <numeric>

#include "launch/load_weights.h"
#include "models/model.h"
#include "parallel/stage.h"
#include "runtime/core/log.h"
#include "runtime/optimization/learning_rate.h"
#include "runtime/storage/weights.h"

namespace interlock {
namespace {

// A head above the same blocks is taken over from the file; one that the file lacks keeps its own start values.
void load_local_head(Head& head, const SafetensorsFile& file, int stage) {
  const std::vector<std::string> missing = missing_weights(head, file);
  if (missing.empty()) {
    load_weights(head, file);
  } else {
    log_warning(message(file.path(), " has no ", missing.front(), ": the head of stage ", stage, " starts fresh"));
  }
}

}  // namespace

std::shared_ptr<Dataset> make_dataset(const RunSettings& settings) {
  // The model, made after it, is the one that refuses a vocabulary or a length that does not fit the data.
  const DatasetSettings parts{settings.config.section("data"), settings.config.section("objective"), settings.seed};
  return Datasets::instance().create("dataset", settings.dataset_name, parts);
}

std::shared_ptr<Model> make_model(const RunSettings& settings, const Dataset& dataset) {
  const ModelSettings parts{
      settings.config.section("model"), settings.seed,    dataset.classes(),        dataset.features(),
      dataset.sample_length(),          settings.float64, dataset.predicted_share()};
  return Models::instance().create("model", settings.model_name, parts);
}

void check_settings(const RunSettings& settings) {
  const auto dataset = make_dataset(settings);
  const auto model = make_model(settings, *dataset);
  const auto kinds = model->head_kinds();
  if (std::find(kinds.begin(), kinds.end(), settings.head_kind) == kinds.end())
    settings.config.section("learning")
        .refuse("head", unknown_name("head of model " + settings.model_name, settings.head_kind, kinds));
  make_partition(settings, *model);
  const Section optimizer = settings.config.section("optimizer");
  Optimizers::instance().create("optimizer", settings.optimizer_name, optimizer);
  LearningRate::Config::from(optimizer, settings.steps);
  for (size_t change = 0; change < settings.rules.size(); ++change) plan_request(settings, change);
  settings.config.reject_unknown();
}

std::vector<int> make_partition(const RunSettings& settings, const Model& model) {
  if (!settings.partition.empty()) {
    check_partition(settings.partition, static_cast<int>(model.blocks()), settings.shape.stages);
    return settings.partition;
  }
  return balanced_partition(model.block_costs(settings.microbatch_size), model.readout_costs(settings.microbatch_size),
                            settings.shape.stages);
}

SimulationCosts estimate_costs(const RunSettings& settings, const Model& model, const std::vector<int>& partition,
                               double gflops, double gigabytes_per_second) {
  const double width = settings.float64 ? 8 : 4, rate = gflops * 1e9 * settings.threads;
  const auto blocks = model.block_costs(settings.microbatch_size);
  const auto shape = model.boundary_shape();
  const double message = width * static_cast<double>(std::accumulate(shape.begin(), shape.end(),
                                                                     settings.microbatch_size, std::multiplies<>()));
  const Flows flows = derive_flows(plan_request(settings).rule, settings.heads);
  const auto optimizer =
      Optimizers::instance().create("optimizer", settings.optimizer_name, settings.config.section("optimizer"));
  const double copies = 2 + optimizer->state_ratio();  // values and gradients

  SimulationCosts costs;
  costs.seconds_per_byte = 1.0 / (gigabytes_per_second * 1e9);
  size_t block = 0;
  for (int stage = 0; stage < settings.shape.stages; ++stage) {
    Costs body;
    for (int i = 0; i < partition[stage]; ++i) body += blocks[block++];
    StageCosts cost;
    cost.forward = body.forward_flops / rate;
    cost.input_gradient = body.input_gradient_flops / rate;
    cost.weight_gradient = body.weight_gradient_flops / rate;
    cost.message_bytes = message;
    cost.activation_bytes = static_cast<double>(body.activation_bytes) + message;
    cost.fixed_bytes = static_cast<double>(body.parameters) * width * copies;
    if (flows.stages[stage].has_loss) {
      const Costs head = stage + 1 == settings.shape.stages
                             ? model.readout_costs(settings.microbatch_size)
                             : model.head_costs(settings.head_kind, settings.microbatch_size);
      cost.loss = (head.forward_flops + head.input_gradient_flops + head.weight_gradient_flops) / rate;
      cost.fixed_bytes += static_cast<double>(head.parameters) * width * copies;
    }
    costs.stages.push_back(cost);
  }
  return costs;
}

std::unique_ptr<Stage> make_stage(const RunSettings& settings, const Model& model, const std::vector<int>& partition,
                                  int index, bool with_head) {
  const auto optimizer = [&] {
    return Optimizers::instance().create("optimizer", settings.optimizer_name, settings.config.section("optimizer"));
  };
  const int64_t begin = std::accumulate(partition.begin(), partition.begin() + index, int64_t{0});
  const int64_t end = begin + partition[index];
  const bool last = index + 1 == settings.shape.stages;
  Stage::Parts parts{model.body(begin, end), optimizer(), nullptr, nullptr, last};
  if (last) {
    parts.head = model.readout();
  } else if (with_head) {
    parts.head = model.head(settings.head_kind, end);
  }
  if (!settings.weights.empty()) {
    const auto file = SafetensorsFile::open(weights_path(settings.weights));
    load_weights(*parts.body, *file);
    if (last) load_weights(*parts.head, *file);
    if (!last && parts.head) load_local_head(*parts.head, *file, index);
  }
  if (parts.head) parts.head_optimizer = optimizer();
  return std::make_unique<Stage>(index, std::move(parts));
}

}  // namespace interlock
