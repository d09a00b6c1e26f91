#include "launch/forecast/memory_footprint.h"

#include <algorithm>

#include "launch/forecast/estimate.h"
#include "launch/settings/plans.h"
#include "models/model.h"
#include "parallel/plan/peak_memory.h"
#include "runtime/optimization/optimizer.h"

namespace interlock {
namespace {

// oneDNN compiles the products of a readout in bfloat16 for every number of rows it meets and keeps the code: 8 to 13
// MiB on ranks with a head, by the difference that ONEDNN_PRIMITIVE_CACHE_CAPACITY=0 makes; 2 MiB in float32.
constexpr double code_of_bf16_readouts = 10.0 * (1 << 20);

// A checkpoint that is written while steps go on; there is one after the last step in any case.
bool is_within_the_run(const RunSettings& settings) { return settings.checkpoint.every < settings.steps; }

MemoryFootprint footprint_of(const RunSettings& settings, const Model& model, const StageParts& parts,
                             double state_ratio, bool last) {
  const double width = parameter_bytes(settings);
  MemoryFootprint footprint;
  footprint.parameters = static_cast<double>(parts.body.parameters + parts.head.parameters) * width;
  footprint.gradients = static_cast<double>(parts.body.trained() + parts.head.trained()) * width;
  footprint.product_copies = static_cast<double>(parts.body.product_copy_bytes + parts.head.product_copy_bytes);
  const double of_state = state_ratio / (settings.parallel.shard_optimizer ? settings.parallel.shape.replicas : 1);
  footprint.optimizer = footprint.gradients * of_state;
  footprint.readout_copies = static_cast<double>(parts.head.copied) * width;
  if (settings.checkpoint.every == 0) return footprint;
  double copy = footprint.parameters + footprint.optimizer;
  // The first stage writes the tensor that both ends share, and its state.
  if (const auto tie = model.tie(); tie && last)
    copy -= static_cast<double>(tie->numbers) * width * (1 + (tie->trained ? of_state : 0));
  (is_within_the_run(settings) ? footprint.checkpoint : footprint.last_checkpoint) = copy;
  return footprint;
}

double fixed_of(const std::vector<MemoryFootprint>& stages, const std::vector<int>& own) {
  double bytes = 0;
  for (const int stage : own) bytes += stages[stage].fixed();
  return bytes;
}

}  // namespace

MemoryFootprint& MemoryFootprint::operator+=(const MemoryFootprint& other) {
  parameters += other.parameters;
  gradients += other.gradients;
  optimizer += other.optimizer;
  product_copies += other.product_copies;
  readout_copies += other.readout_copies;
  checkpoint += other.checkpoint;
  last_checkpoint += other.last_checkpoint;
  activations += other.activations;
  sums += other.sums;
  data += other.data;
  return *this;
}

std::vector<MemoryFootprint> stage_footprints(const RunSettings& settings, const Model& model,
                                              const std::vector<StageParts>& parts) {
  const auto optimizer =
      Optimizers::instance().create("optimizer", settings.optimizer_name, settings.config.section("optimizer"));
  std::vector<MemoryFootprint> stages;
  for (size_t i = 0; i < parts.size(); ++i)
    stages.push_back(footprint_of(settings, model, parts[i], optimizer->state_ratio(), i + 1 == parts.size()));
  return stages;
}

std::vector<MemoryFootprint> rank_footprints(const RunSettings& settings, const Model& model,
                                             const std::vector<int>& partition) {
  const PlanShape& shape = settings.parallel.shape;
  std::vector<MemoryFootprint> ranks(shape.ranks);
  std::vector<double> copy_to_come(shape.ranks, 0.0);
  const std::vector<StageParts> parts = stage_parts(settings, model, partition);
  const std::vector<MemoryFootprint> stages = stage_footprints(settings, model, parts);
  for (int rank = 0; rank < shape.ranks; ++rank) {
    for (const int stage : shape.stages_of(rank)) {
      copy_to_come[rank] = std::max(copy_to_come[rank], stages[stage].readout_copies);
      ranks[rank] += stages[stage];
    }
  }
  const bool copies_are_stored = settings.checkpoint.every > 0;
  for (int rank = 0; rank < shape.ranks; ++rank) {
    ranks[rank].readout_copies += copy_to_come[rank];
    // The first rank that holds copies writes them too, the one in use and the one to come.
    const auto holds = [](double bytes) { return bytes > 0; };
    if (copies_are_stored && copy_to_come[rank] > 0 && std::none_of(&copy_to_come[0], &copy_to_come[rank], holds))
      (is_within_the_run(settings) ? ranks[rank].checkpoint : ranks[rank].last_checkpoint) += 2 * copy_to_come[rank];
  }
  for (const auto& [at_step, plan] : make_plans(settings, model)) {
    if (at_step > std::max<int64_t>(1, settings.steps)) continue;
    const SimulationCosts costs = estimate_costs(settings, model, partition, plan.flows);
    SimulationCosts without_sums = costs;
    for (StageCosts& stage : without_sums.stages) stage.sum_bytes = stage.head_sum_bytes = 0;
    for (int rank = 0; rank < shape.ranks; ++rank) {
      const double alive = peak_bytes(plan, without_sums, rank);
      ranks[rank].activations = std::max(ranks[rank].activations, alive - fixed_of(stages, shape.stages_of(rank)));
      ranks[rank].sums = std::max(ranks[rank].sums, peak_bytes(plan, costs, rank) - alive);
    }
  }
  for (int rank = 0; rank < shape.ranks; ++rank) {
    const auto own = shape.stages_of(rank);
    const bool reads_out = std::ranges::any_of(own, [&](int stage) { return parts[stage].has_head; });
    MemoryFootprint& whole = ranks[rank];
    if (reads_out && settings.precision == Precision::bf16) whole.activations += code_of_bf16_readouts;
    whole.checkpoint += std::max(0.0, whole.last_checkpoint - whole.activations - whole.sums);
  }
  return ranks;
}

}  // namespace interlock
