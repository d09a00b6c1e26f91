#include "launch/forecast/estimate.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "launch/forecast/memory_footprint.h"
#include "launch/forecast/stage_parts.h"
#include "models/model.h"

namespace interlock {
namespace {

Costs sum_of(const std::vector<Costs>& units) {
  Costs sum;
  for (const Costs& unit : units) sum += unit;
  return sum;
}

// What stands at the end of every stage, per microbatch: what passes on, and the size of a gradient there.
std::vector<double> message_bytes(const RunSettings& settings, const Model& model, const std::vector<int>& partition) {
  std::vector<double> bytes;
  int64_t below = 0;
  for (const int units : partition) {
    below += units;
    const Boundary boundary = model.boundary(below);
    const auto numbers = std::accumulate(boundary.shape.begin(), boundary.shape.end(),
                                         settings.parallel.batch.microbatch_size, std::multiplies<>());
    bytes.push_back(static_cast<double>(numbers) * static_cast<double>(c10::elementSize(boundary.type)));
  }
  return bytes;
}

// The units that a pass back through the stage walks: all, where a stream goes on; else from the lowest that trains.
// Below it a forward pass keeps nothing.
std::vector<Costs> walked_units(const StageParts& parts, const StageFlow& flow) {
  auto first = parts.units.begin();
  if (flow.outgoing.empty() && parts.body.trained() > 0)
    first = std::ranges::find_if(parts.units, [](const Costs& unit) { return unit.trained() > 0; });
  return {first, parts.units.end()};
}

// A stage's first pass back works on a gradient that came, unless it is a sum or a multiple of such; every segment
// below on the one that the segment above it made.
bool makes_gradients(const StageFlow& flow, size_t units) {
  const auto makes = [](const std::vector<Term>& terms) { return terms.size() > 1 || terms.front().weight != 1.0; };
  return units > 1 || (flow.learns && makes(flow.teach)) ||
         std::ranges::any_of(flow.outgoing, [&](const Outgoing& outgoing) { return makes(outgoing.terms); });
}

// What a pass back holds beside what is kept of microbatches, and what is kept of one.
void add_memory(StageCosts& cost, const RunSettings& settings, const StageParts& parts, const StageFlow& flow) {
  const std::vector<Costs> units = walked_units(parts, flow);
  const Costs walked = sum_of(units);
  const auto all = static_cast<double>(walked.activation_bytes), input = cost.message_bytes;
  const auto linear_inputs = static_cast<double>(walked.linear_input_bytes);
  cost.working_bytes = static_cast<double>(walked.working_bytes);
  cost.kept_working_bytes = static_cast<double>(walked.kept_working_bytes);
  cost.recorded_bytes = static_cast<double>(walked.recorded_bytes);
  cost.activation_bytes = all + input;  // the result is kept beside what the units save
  cost.released_bytes = cost.activation_bytes - linear_inputs;
  if (settings.recompute != Recompute::none) {
    const bool whole = settings.recompute == Recompute::stage;
    double again = all;
    if (!whole) again = static_cast<double>(std::ranges::max(units, {}, &Costs::activation_bytes).activation_bytes);
    cost.activation_bytes = cost.released_bytes = whole ? input : input * static_cast<double>(units.size());
    cost.working_bytes += again;  // with the result, but without the input, which is kept
    cost.kept_working_bytes = cost.working_bytes;
    cost.recorded_bytes += linear_inputs;
  }
  if (makes_gradients(flow, units.size())) {
    cost.working_bytes += cost.message_bytes;
    cost.kept_working_bytes += cost.message_bytes;
  }
  cost.forward_working_bytes = static_cast<double>(parts.body.forward_working_bytes);
  if (flow.own_loss_used) cost.activation_bytes += cost.message_bytes;  // the gradient of the own loss waits
  // A head's forward and backward are one action: what it saves lives no longer.
  if (parts.has_head)
    cost.loss_working_bytes = static_cast<double>(parts.head.activation_bytes + parts.head.working_bytes);
}

// What is held beside `numbers` while they are summed over replicas: of what a rank adds up, the parts of all others
// (transport/reduce_scatter.cpp). Values come back in place.
double bytes_of_a_sum(const RunSettings& settings, int64_t numbers) {
  const int replicas = settings.parallel.shape.replicas;
  return static_cast<double>(numbers) * parameter_bytes(settings) * (replicas - 1) / replicas;
}

// The tensor that both ends share is summed when the step ends, with the body; then over the ends.
void add_sums(StageCosts& cost, const RunSettings& settings, const Model& model, const StageParts& parts, int stage) {
  const PlanShape& shape = settings.parallel.shape;
  const auto tie = model.tie();
  const bool shares = tie && tie->trained, last = stage + 1 == shape.stages;
  const int64_t late = shares && last ? tie->numbers : 0;
  cost.sum_bytes = bytes_of_a_sum(settings, parts.body.trained() + late);
  cost.head_sum_bytes = bytes_of_a_sum(settings, parts.head.trained() - late);
  const bool at_an_end = last || stage == 0;
  if (shares && at_an_end && shape.rank_of(0) != shape.rank_of(shape.stages - 1))
    cost.sum_bytes = std::max(cost.sum_bytes, static_cast<double>(tie->numbers) * parameter_bytes(settings) / 2);
}

// A message is held until the next of its kind goes out: of gradients, and of results where no graph keeps them.
double bytes_on_their_way(const RunSettings& settings, const std::vector<double>& messages, const StageFlow& flow,
                          int stage) {
  const PlanShape& shape = settings.parallel.shape;
  const auto leaves = [&](int other) { return shape.rank_of(other) != shape.rank_of(stage); };
  const bool keeps_result = settings.recompute == Recompute::none && (flow.learns || !flow.outgoing.empty());
  double bytes = 0;
  if (stage > 0 && leaves(stage - 1)) bytes += messages[stage - 1] * static_cast<double>(flow.outgoing.size());
  if (stage + 1 < shape.stages && leaves(stage + 1) && !keeps_result) bytes += messages[stage];
  return bytes;
}

}  // namespace

SimulationCosts estimate_costs(const RunSettings& settings, const Model& model, const std::vector<int>& partition,
                               const Flows& flows, double gflops, double gigabytes_per_second) {
  const double rate = gflops * 1e9 * settings.parallel.threads;
  SimulationCosts costs;
  // Links that are slowed down are no faster than the run makes them.
  const LinkSpeed& links = settings.parallel.links;
  costs.seconds_per_byte = 1.0 / (gigabytes_per_second * 1e9);
  if (links.bandwidth > 0) costs.seconds_per_byte = std::max(costs.seconds_per_byte, 1.0 / links.bandwidth);
  costs.latency = links.latency;
  // Where the optimizer's state is shared out, a replica exchanges what it updates.
  const int shares = settings.parallel.shard_optimizer ? settings.parallel.shape.replicas : 1;
  if (const auto tie = model.tie())
    costs.tied_bytes = static_cast<double>(tie->numbers) * parameter_bytes(settings) / shares;
  const std::vector<StageParts> all = stage_parts(settings, model, partition);
  const std::vector<MemoryFootprint> footprints = stage_footprints(settings, model, all);
  const std::vector<double> messages = message_bytes(settings, model, partition);
  for (int stage = 0; stage < settings.parallel.shape.stages; ++stage) {
    const StageParts& parts = all[stage];
    // A pass back that computes its forward again takes that much longer.
    const Costs walked = sum_of(walked_units(parts, flows.stages[stage]));
    const double again = settings.recompute == Recompute::none ? 0 : walked.forward_flops;
    StageCosts cost;
    cost.forward = parts.body.forward_flops / rate;
    cost.input_gradient = (walked.input_gradient_flops + again) / rate;
    cost.weight_gradient = parts.body.weight_gradient_flops / rate;
    cost.message_bytes = messages[stage];
    cost.fixed_bytes = footprints[stage].fixed() + bytes_on_their_way(settings, messages, flows.stages[stage], stage);
    if (parts.has_head)
      cost.loss =
          (parts.head.forward_flops + parts.head.input_gradient_flops + parts.head.weight_gradient_flops) / rate;
    add_memory(cost, settings, parts, flows.stages[stage]);
    add_sums(cost, settings, model, parts, stage);
    costs.stages.push_back(cost);
  }
  return costs;
}

}  // namespace interlock
