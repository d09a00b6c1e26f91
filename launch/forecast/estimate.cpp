#include "launch/forecast/estimate.h"

#include <functional>
#include <numeric>

#include "launch/forecast/memory_footprint.h"
#include "launch/forecast/stage_parts.h"
#include "models/model.h"

namespace interlock {
namespace {

// What stands at the end of every stage, per microbatch: what passes on, and the size of a gradient there.
std::vector<double> message_bytes(const RunSettings& settings, const Model& model, const std::vector<int>& partition) {
  std::vector<double> bytes;
  int64_t below = 0;
  for (const int blocks : partition) {
    below += blocks;
    const Boundary boundary = model.boundary(below);
    const auto numbers = std::accumulate(boundary.shape.begin(), boundary.shape.end(),
                                         settings.parallel.batch.microbatch_size, std::multiplies<>());
    bytes.push_back(static_cast<double>(numbers) * static_cast<double>(c10::elementSize(boundary.type)));
  }
  return bytes;
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
  const double rate = gflops * 1e9 * settings.parallel.threads;
  SimulationCosts costs;
  costs.seconds_per_byte = 1.0 / (gigabytes_per_second * 1e9);
  if (const auto tie = model.tie()) costs.tied_bytes = static_cast<double>(tie->numbers) * parameter_bytes(settings);
  const std::vector<StageParts> all = stage_parts(settings, model, partition);
  const std::vector<MemoryFootprint> footprints = stage_footprints(settings, model, all);
  const std::vector<double> messages = message_bytes(settings, model, partition);
  for (int stage = 0; stage < settings.parallel.shape.stages; ++stage) {
    const StageParts& parts = all[stage];
    // A walk that computes its forward again takes that much longer.
    const double again = settings.recompute == Recompute::none ? 0 : parts.body.forward_flops;
    StageCosts cost;
    cost.forward = parts.body.forward_flops / rate;
    cost.input_gradient = (parts.body.input_gradient_flops + again) / rate;
    cost.weight_gradient = parts.body.weight_gradient_flops / rate;
    cost.message_bytes = messages[stage];
    cost.fixed_bytes = footprints[stage].fixed();
    if (parts.has_head)
      cost.loss =
          (parts.head.forward_flops + parts.head.input_gradient_flops + parts.head.weight_gradient_flops) / rate;
    add_memory(cost, settings, parts, partition[stage], flows.stages[stage].own_loss_used);
    costs.stages.push_back(cost);
  }
  return costs;
}

}  // namespace interlock
