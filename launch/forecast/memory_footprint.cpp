#include "launch/forecast/memory_footprint.h"

#include <algorithm>

#include "launch/forecast/estimate.h"
#include "launch/forecast/run_plans.h"
#include "launch/settings/parts.h"
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

// Of each rank: copies of the readout that come next, as large as the largest in use.
std::vector<double> copies_to_come(const PlanShape& shape, const std::vector<MemoryFootprint>& stages) {
  std::vector<double> bytes(shape.ranks, 0.0);
  for (int stage = 0; stage < shape.stages; ++stage) {
    double& of_rank = bytes[shape.rank_of(stage)];
    of_rank = std::max(of_rank, stages[stage].readout_copies);
  }
  return bytes;
}

// The first rank that holds copies of the readout writes them too, the one in use and the one to come; -1: nobody.
int rank_that_writes(const RunSettings& settings, const std::vector<double>& copies) {
  if (settings.checkpoint.every == 0) return -1;
  const auto first = std::ranges::find_if(copies, [](double bytes) { return bytes > 0; });
  return first == copies.end() ? -1 : static_cast<int>(first - copies.begin());
}

double code_of_readouts(const RunSettings& settings, const std::vector<StageParts>& parts, int rank) {
  const auto own = settings.parallel.shape.stages_of(rank);
  const bool reads_out = std::ranges::any_of(own, [&](int stage) { return parts[stage].has_head; });
  return reads_out && settings.precision == Precision::bf16 ? code_of_bf16_readouts : 0;
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
  const auto optimizer = make_optimizer(settings);
  std::vector<MemoryFootprint> stages;
  for (size_t i = 0; i < parts.size(); ++i)
    stages.push_back(footprint_of(settings, model, parts[i], optimizer->state_ratio(), i + 1 == parts.size()));
  return stages;
}

std::vector<double> bytes_beside_plans(const RunSettings& settings, const Model& model,
                                       const std::vector<int>& partition) {
  const PlanShape& shape = settings.parallel.shape;
  const std::vector<StageParts> parts = stage_parts(settings, model, partition);
  std::vector<double> bytes = copies_to_come(shape, stage_footprints(settings, model, parts));
  const int writes = rank_that_writes(settings, bytes);
  if (writes >= 0 && is_within_the_run(settings)) bytes[writes] *= 3;
  for (int rank = 0; rank < shape.ranks; ++rank) bytes[rank] += code_of_readouts(settings, parts, rank);
  return bytes;
}

std::vector<MemoryFootprint> rank_footprints(const RunSettings& settings, const Model& model,
                                             const std::vector<int>& partition) {
  const auto all = make_plans(settings, model);
  return rank_footprints(settings, model, partition, plans_of_steps(all, settings.steps));
}

std::vector<MemoryFootprint> rank_footprints(const RunSettings& settings, const Model& model,
                                             const std::vector<int>& partition, std::span<const Plan* const> plans) {
  const PlanShape& shape = settings.parallel.shape;
  std::vector<MemoryFootprint> ranks(shape.ranks);
  const std::vector<StageParts> parts = stage_parts(settings, model, partition);
  const std::vector<MemoryFootprint> stages = stage_footprints(settings, model, parts);
  const std::vector<double> copies = copies_to_come(shape, stages);
  for (int rank = 0; rank < shape.ranks; ++rank) {
    for (const int stage : shape.stages_of(rank)) ranks[rank] += stages[stage];
    ranks[rank].readout_copies += copies[rank];
    if (rank == rank_that_writes(settings, copies))
      (is_within_the_run(settings) ? ranks[rank].checkpoint : ranks[rank].last_checkpoint) += 2 * copies[rank];
  }
  for (const Plan* plan : plans) {
    const SimulationCosts costs = estimate_costs(settings, model, partition, plan->flows);
    SimulationCosts without_sums = costs;
    for (StageCosts& stage : without_sums.stages) stage.sum_bytes = stage.head_sum_bytes = 0;
    for (int rank = 0; rank < shape.ranks; ++rank) {
      const double alive = peak_bytes(*plan, without_sums, rank);
      ranks[rank].activations = std::max(ranks[rank].activations, alive - fixed_of(stages, shape.stages_of(rank)));
      ranks[rank].sums = std::max(ranks[rank].sums, peak_bytes(*plan, costs, rank) - alive);
    }
  }
  for (int rank = 0; rank < shape.ranks; ++rank) {
    MemoryFootprint& whole = ranks[rank];
    whole.activations += code_of_readouts(settings, parts, rank);
    whole.checkpoint += std::max(0.0, whole.last_checkpoint - whole.activations - whole.sums);
  }
  return ranks;
}

}  // namespace interlock
