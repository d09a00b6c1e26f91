#include "launch/run/estimate.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <numeric>

#include "launch/run/run.h"
#include "models/model.h"
#include "parallel/plan/peak_memory.h"
#include "runtime/optimization/optimizer.h"

namespace interlock {
namespace {

// The parts of one stage.
struct StageParts {
  Costs body, largest_segment, head;
  bool has_head = false;
};

StageParts parts_of(const RunSettings& settings, const Model& model, const std::vector<int>& partition, int stage) {
  const auto blocks = model.block_costs(settings.microbatch_size);
  const auto first = static_cast<size_t>(std::accumulate(partition.begin(), partition.begin() + stage, 0));
  StageParts parts;
  for (size_t i = 0; i < static_cast<size_t>(partition[stage]); ++i) {
    const Costs& block = blocks[first + i];
    parts.body += block;
    parts.largest_segment.activation_bytes = std::max(parts.largest_segment.activation_bytes, block.activation_bytes);
  }
  const bool last = stage + 1 == settings.shape.stages;
  parts.has_head = stages_with_heads(settings)[stage];
  if (parts.has_head)
    parts.head = last ? model.readout_costs(settings.microbatch_size)
                      : model.head_costs(settings.head_kind, settings.microbatch_size);
  return parts;
}

double parameter_bytes(const RunSettings& settings) { return settings.precision == Precision::float64 ? 8 : 4; }

double resident_bytes() {
  std::ifstream status("/proc/self/statm");
  int64_t size = 0, resident = 0;
  status >> size >> resident;
  return static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE));
}

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
  if (own_loss_used) cost.activation_bytes += cost.message_bytes;  // the gradient of the own loss waits
  // A head's forward and backward are one action: what it saves lives no longer.
  if (parts.has_head)
    cost.loss_working_bytes = static_cast<double>(parts.head.activation_bytes + parts.head.working_bytes);
}

// oneDNN compiles the products of a readout in bfloat16 for every number of rows it meets and keeps the code: 8 to 13
// MiB on ranks with a head, by the difference that ONEDNN_PRIMITIVE_CACHE_CAPACITY=0 makes; 2 MiB in float32.
constexpr double code_of_bf16_readouts = 10.0 * (1 << 20);

// What is on its way while `bytes` are summed over `members` ranks (transport/group.cpp): shares that come, shares that
// go, sums that come.
double bytes_of_a_sum(double bytes, int members) { return 3 * bytes * (members - 1) / members; }

// The gradients that a rank sums with others: with its copies in other replicas, and the tensor that both ends share.
double sums_of(const RunSettings& settings, const Model& model, int rank, double gradients) {
  const PlanShape& shape = settings.shape;
  double most = bytes_of_a_sum(gradients, shape.replicas);
  const int first = shape.rank_of(0), last = shape.rank_of(shape.stages - 1);
  if (const auto tie = model.tie(); tie && first != last && (rank == first || rank == last))
    most = std::max(most, bytes_of_a_sum(static_cast<double>(tie->numbers) * parameter_bytes(settings), 2));
  return most;
}

}  // namespace

Holdings& Holdings::operator+=(const Holdings& other) {
  parameters += other.parameters;
  gradients += other.gradients;
  optimizer += other.optimizer;
  readout_copies += other.readout_copies;
  checkpoint += other.checkpoint;
  activations += other.activations;
  sums += other.sums;
  data += other.data;
  return *this;
}

std::vector<bool> stages_with_heads(const RunSettings& settings) {
  std::vector<bool> with(settings.shape.stages, false);
  with.back() = true;
  for (size_t i = 0; i < settings.rules.size(); ++i) {
    if (i > 0 && settings.rules[i].at_step > std::max<int64_t>(1, settings.steps)) continue;
    const Flows flows = derive_flows(plan_request(settings, i).rule, settings.heads);
    for (int stage = 0; stage < settings.shape.stages; ++stage)
      if (flows.stages[stage].has_loss) with[stage] = true;
  }
  return with;
}

Holdings stage_holdings(const RunSettings& settings, const Model& model, const std::vector<int>& partition, int stage) {
  const StageParts parts = parts_of(settings, model, partition, stage);
  const auto optimizer =
      Optimizers::instance().create("optimizer", settings.optimizer_name, settings.config.section("optimizer"));
  const double width = parameter_bytes(settings);
  Holdings holdings;
  holdings.parameters = holdings.gradients = static_cast<double>(parts.body.parameters + parts.head.parameters) * width;
  const double state = holdings.parameters * optimizer->state_ratio();
  holdings.optimizer = state / (settings.shard_optimizer ? settings.shape.replicas : 1);
  holdings.readout_copies = static_cast<double>(parts.head.copied) * width;
  const bool last = stage + 1 == settings.shape.stages;
  if (settings.checkpoint_every > 0) {  // the last step writes one in any case
    holdings.checkpoint = holdings.parameters + state;
    // The first stage writes the tensor that both ends share.
    if (const auto tie = model.tie(); tie && last)
      holdings.checkpoint -= static_cast<double>(tie->numbers) * width * (1 + optimizer->state_ratio());
  }
  return holdings;
}

std::vector<Holdings> rank_holdings(const RunSettings& settings, const Model& model,
                                    const std::vector<int>& partition) {
  std::vector<Holdings> ranks(settings.shape.ranks);
  std::vector<double> copy_to_come(settings.shape.ranks, 0.0);
  const std::vector<bool> with_heads = stages_with_heads(settings);
  for (int rank = 0; rank < settings.shape.ranks; ++rank) {
    for (const int stage : settings.shape.stages_of(rank)) {
      const Holdings of_stage = stage_holdings(settings, model, partition, stage);
      copy_to_come[rank] = std::max(copy_to_come[rank], of_stage.readout_copies);
      ranks[rank] += of_stage;
    }
  }
  for (const auto& [at_step, plan] : make_plans(settings)) {
    if (at_step > std::max<int64_t>(1, settings.steps)) continue;
    const SimulationCosts costs = estimate_costs(settings, model, partition, plan.flows);
    for (int rank = 0; rank < settings.shape.ranks; ++rank)
      ranks[rank].activations = std::max(ranks[rank].activations, peak_bytes(plan, costs, rank) - ranks[rank].fixed());
  }
  for (int rank = 0; rank < settings.shape.ranks; ++rank) {
    const auto stages = settings.shape.stages_of(rank);
    const bool reads_out = std::ranges::any_of(stages, [&](int stage) { return with_heads[stage]; });
    if (reads_out && settings.precision == Precision::bf16) ranks[rank].activations += code_of_bf16_readouts;
    ranks[rank].sums = sums_of(settings, model, rank, ranks[rank].gradients);
    ranks[rank].readout_copies += copy_to_come[rank];
  }
  return ranks;
}

double measure_data(const RunSettings& settings) {
  const double before = resident_bytes();
  try {
    const auto dataset = make_dataset(settings);
    dataset->open();
    // A few steps' worth of samples, so that what reading keeps is there too.
    std::vector<int64_t> numbers(static_cast<size_t>(std::min<int64_t>(256, dataset->samples(Split::training))));
    std::iota(numbers.begin(), numbers.end(), 0);
    dataset->batch(Split::training, numbers);
    return std::max(0.0, resident_bytes() - before);
  } catch (const Error&) {
    return 0;  // a plan can be made where the data is not
  }
}

SimulationCosts estimate_costs(const RunSettings& settings, const Model& model, const std::vector<int>& partition,
                               const Flows& flows, double gflops, double gigabytes_per_second) {
  const double rate = gflops * 1e9 * settings.threads;
  SimulationCosts costs;
  costs.seconds_per_byte = 1.0 / (gigabytes_per_second * 1e9);
  if (const auto tie = model.tie()) costs.tied_bytes = static_cast<double>(tie->numbers) * parameter_bytes(settings);
  for (int stage = 0; stage < settings.shape.stages; ++stage) {
    const StageParts parts = parts_of(settings, model, partition, stage);
    // A walk that computes its forward again takes that much longer.
    const double again = settings.recompute == Recompute::none ? 0 : parts.body.forward_flops;
    StageCosts cost;
    cost.forward = parts.body.forward_flops / rate;
    cost.input_gradient = (parts.body.input_gradient_flops + again) / rate;
    cost.weight_gradient = parts.body.weight_gradient_flops / rate;
    cost.message_bytes = message_bytes(settings, model);
    cost.fixed_bytes = stage_holdings(settings, model, partition, stage).fixed();
    if (parts.has_head)
      cost.loss =
          (parts.head.forward_flops + parts.head.input_gradient_flops + parts.head.weight_gradient_flops) / rate;
    add_memory(cost, settings, parts, partition[stage], flows.stages[stage].own_loss_used);
    costs.stages.push_back(cost);
  }
  return costs;
}

}  // namespace interlock
