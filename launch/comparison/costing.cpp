#include "launch/comparison/costing.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include "launch/forecast/estimate.h"
#include "launch/forecast/memory_footprint.h"
#include "launch/forecast/run_plans.h"
#include "launch/plan_report/plan_costs.h"
#include "launch/run/data_identity.h"
#include "launch/run/load_weights.h"
#include "launch/run_report/run_record.h"
#include "launch/settings/parts.h"
#include "launch/settings/plans.h"
#include "models/model.h"
#include "models/parameter_count.h"
#include "parallel/plan/deferred_weights.h"
#include "runtime/storage/sha256.h"
#include "runtime/storage/weights_set.h"

namespace interlock {
namespace {

struct Parts {
  std::shared_ptr<Model> model;
  std::vector<int> partition;
  Plan plan;  // of the first rule and the full number of microbatches
};

Parts parts_of(const RunSettings& settings) {
  Parts parts;
  parts.model = make_model(settings, *make_dataset(settings));
  parts.partition = make_partition(settings, *parts.model);
  parts.plan = make_plans(settings, *parts.model).back().plan;
  return parts;
}

SimulationCosts costs_in(const std::string& folder, int stages) {
  return read_costs((std::filesystem::path(folder) / "costs.json").string(), stages);
}

double planned_mib(const RunSettings& settings, const Parts& parts) {
  double most = 0;
  for (const MemoryFootprint& rank : rank_footprints(settings, *parts.model, parts.partition))
    most = std::max(most, rank.all());
  return most / (1 << 20);
}

// A run on one rank does one action after another: what its steps took beyond the sum of its actions is the engine's.
double calibration_of(const std::string& folder, const SimulationCosts& costs) {
  const RunRecord run = read_run(folder);
  const auto measured = steady_step(run);
  if (!measured) return 1;
  const RunSettings settings =
      read_settings(Config::from_file((std::filesystem::path(folder) / "config.toml").string()));
  const double simulated = simulate(parts_of(settings).plan, costs).step;
  return simulated > 0 ? *measured / simulated : 1;  // the first step is in no cost either
}

}  // namespace

double flops_of_step(const RunSettings& settings) {
  const Parts parts = parts_of(settings);
  // At one operation per second, seconds are operations.
  const double one_per_second = 1e-9 / settings.parallel.threads;
  const SimulationCosts costs =
      estimate_costs(settings, *parts.model, parts.partition, parts.plan.flows, one_per_second);
  const DeferredWeights deferred(parts.plan);
  double flops = 0;
  for (const auto& rank : parts.plan.ranks)
    for (const Action& action : rank) {
      const StageCosts& stage = costs.stages[static_cast<size_t>(action.stage)];
      if (action.kind == Kind::forward) flops += stage.forward;
      if (action.kind == Kind::loss) flops += stage.loss;
      if (action.kind == Kind::input_gradient) flops += stage.input_gradient;
      if (action.kind == Kind::backward) flops += stage.input_gradient + stage.weight_gradient;
      if (action.kind == Kind::weight_gradient)
        flops += stage.weight_gradient + (deferred.is_deferred(action) ? 0 : stage.input_gradient);
    }
  return flops * settings.parallel.shape.replicas;
}

std::optional<StepCost> replayed(const RunSettings& settings, const std::string& costs_folder, std::string& why) {
  try {
    const Parts parts = parts_of(settings);
    const SimulationCosts costs = costs_in(costs_folder, settings.parallel.shape.stages);
    const Simulation simulation = simulate(parts.plan, costs);
    StepCost cost{.step = simulation.step, .idle_share = simulation.idle_share, .schedule = parts.plan.schedule};
    cost.peak_mib = planned_mib(settings, parts);
    cost.calibration = calibration_of(costs_folder, costs);
    for (size_t stage = 0; stage + 1 < costs.stages.size(); ++stage)
      cost.longest_message_bytes = std::max(cost.longest_message_bytes, costs.stages[stage].message_bytes);
    return cost;
  } catch (const Error& error) {
    why = error.what();
    return std::nullopt;
  }
}

std::optional<double> steady_step(const RunRecord& run) {
  if (run.rows.size() < 3) return std::nullopt;
  return (run.rows.back().seconds - run.rows.front().seconds) / static_cast<double>(run.rows.size() - 1);
}

double simulated_step(const RunSettings& settings, const std::string& costs_folder, double bytes_per_second) {
  const Parts parts = parts_of(settings);
  SimulationCosts costs = costs_in(costs_folder, settings.parallel.shape.stages);
  if (bytes_per_second > 0) costs.seconds_per_byte = 1 / bytes_per_second;
  return simulate(parts.plan, costs).step;
}

BreakEven break_even_of(const RunSettings& settings, const std::string& costs_folder) {
  const Parts parts = parts_of(settings);
  const int stages = settings.parallel.shape.stages;
  const PlanRequest request = plan_request(settings, *parts.model);
  const RuleRequest asked = rule_request(settings, *parts.model);
  BreakEven found;
  // Plans of so many microbatches are simulated in a blink.
  found.most = std::clamp(1024 / stages, 1, 128);
  const SimulationCosts counted = estimate_costs(settings, *parts.model, parts.partition, parts.plan.flows);
  found.counted = break_even_microbatches(request, asked, counted, found.most);
  found.replayed = break_even_microbatches(request, asked, costs_in(costs_folder, stages), found.most);
  return found;
}

std::optional<MeasuredBreakEven> measured_break_even(const StepsBy& rule, const StepsBy& global) {
  const std::map<double, double> ascending(rule.begin(), rule.end()), of_global(global.begin(), global.end());
  MeasuredBreakEven found;
  bool any = false;
  for (const auto& [number, step] : ascending) {
    const auto other = of_global.find(number);
    if (other == of_global.end()) continue;
    any = true;
    if (beyond_noise * other->second > step) {
      found = {.above = number, .at_most = {}};
    } else if (!found.at_most) {
      found.at_most = number;
    }
  }
  return any ? std::optional(found) : std::nullopt;
}

SharedParts shared_parts(const RunSettings& settings, const Dataset& dataset, const WeightsSet* weights) {
  SharedParts shared;
  const auto model = make_model(settings, dataset);
  shared.cut = make_partition(settings, *model);
  shared.parameters = parameter_count(*model);
  Sha256 values;
  // As a run starts: what the weights lack keeps the values of the seed, and so does the readout of other classes.
  const auto add = [&](torch::nn::Module& module, bool stored) {
    if (stored) load_weights(module, *weights, model->tie(), model->aliases(), [](const std::string&) { return true; });
    for (const auto& named : module.named_parameters()) {
      const at::Tensor tensor = named.value().detach().contiguous();
      values.add(named.key());
      values.add(std::span(static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()));
    }
  };
  add(*model->body(0, model->units()), weights != nullptr);
  add(*model->readout(), weights != nullptr && stored_labels(*weights) == dataset.labels());
  shared.start_values = values.hex();
  shared.samples = data_identity(dataset).at("data.digest");
  return shared;
}

}  // namespace interlock
