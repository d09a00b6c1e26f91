#include "launch/run/estimate.h"

#include <functional>
#include <numeric>

#include "launch/run/holdings.h"
#include "launch/run/stage_parts.h"
#include "models/model.h"

namespace interlock {
namespace {

double message_bytes(const RunSettings& settings, const Model& model) {
  const auto shape = model.boundary_shape();
  const auto numbers = std::accumulate(shape.begin(), shape.end(), settings.microbatch_size, std::multiplies<>());
  return static_cast<double>(numbers) * static_cast<double>(c10::elementSize(model.boundary_type()));
}

// What a walk back holds beside what is kept of microbatches, and what is kept of one.
void add_memory(StageCosts& cost, const RunSettings& settings, const StageParts& parts, int blocks,
                bool own_loss_used) {
  const auto working = static_cast<double>(parts.body.working_bytes);
  const auto all = static_cast<double>(parts.body.activation_bytes);
  const double input = cost.message_bytes;
  cost.working_bytes = working;
  cost.activation_bytes = all + input;
  if (settings.recompute == Recompute::block) {
    cost.activation_bytes = input * blocks;
    cost.working_bytes += static_cast<double>(parts.largest_segment.activation_bytes);
  } else if (settings.recompute == Recompute::stage) {
    cost.activation_bytes = input;
    cost.working_bytes += all;
  }
  cost.forward_working_bytes = static_cast<double>(parts.largest_segment.activation_bytes);
  // At most: one gradient for everything that was saved. What was computed again for I is held for W as well.
  cost.recorded_bytes = settings.recompute == Recompute::none ? all : 2 * all;
  if (own_loss_used) cost.activation_bytes += cost.message_bytes;  // the gradient of the own loss waits
  // A head's forward and backward are one action: what it saves lives no longer.
  if (parts.has_head)
    cost.loss_working_bytes = static_cast<double>(parts.head.activation_bytes + parts.head.working_bytes);
}

}  // namespace

SimulationCosts estimate_costs(const RunSettings& settings, const Model& model, const std::vector<int>& partition,
                               const Flows& flows, double gflops, double gigabytes_per_second) {
  const double rate = gflops * 1e9 * settings.threads;
  SimulationCosts costs;
  costs.seconds_per_byte = 1.0 / (gigabytes_per_second * 1e9);
  if (const auto tie = model.tie()) costs.tied_bytes = static_cast<double>(tie->numbers) * parameter_bytes(settings);
  const std::vector<StageParts> all = stage_parts(settings, model, partition);
  const std::vector<Holdings> holdings = stage_holdings(settings, model, all);
  for (int stage = 0; stage < settings.shape.stages; ++stage) {
    const StageParts& parts = all[stage];
    // A walk that computes its forward again takes that much longer.
    const double again = settings.recompute == Recompute::none ? 0 : parts.body.forward_flops;
    StageCosts cost;
    cost.forward = parts.body.forward_flops / rate;
    cost.input_gradient = (parts.body.input_gradient_flops + again) / rate;
    cost.weight_gradient = parts.body.weight_gradient_flops / rate;
    cost.message_bytes = message_bytes(settings, model);
    cost.fixed_bytes = holdings[stage].fixed();
    if (parts.has_head)
      cost.loss =
          (parts.head.forward_flops + parts.head.input_gradient_flops + parts.head.weight_gradient_flops) / rate;
    add_memory(cost, settings, parts, partition[stage], flows.stages[stage].own_loss_used);
    costs.stages.push_back(cost);
  }
  return costs;
}

}  // namespace interlock
