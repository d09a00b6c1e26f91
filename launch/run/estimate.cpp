#include "launch/run/estimate.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <numeric>

#include "models/model.h"
#include "runtime/optimization/optimizer.h"

namespace interlock {
namespace {

// The parts of one stage.
struct StageParts {
  Costs body, largest_segment, head;
  bool has_head = false, own_loss_used = false;
};

StageParts parts_of(const RunSettings& settings, const Model& model, const std::vector<int>& partition, int stage) {
  const auto blocks = model.block_costs(settings.microbatch_size);
  const Flows flows = derive_flows(plan_request(settings).rule, settings.heads);
  const auto first = static_cast<size_t>(std::accumulate(partition.begin(), partition.begin() + stage, 0));
  StageParts parts;
  for (size_t i = 0; i < static_cast<size_t>(partition[stage]); ++i) {
    const Costs& block = blocks[first + i];
    parts.body += block;
    parts.largest_segment.activation_bytes = std::max(parts.largest_segment.activation_bytes, block.activation_bytes);
  }
  const bool last = stage + 1 == settings.shape.stages;
  parts.has_head = last || flows.stages[stage].has_loss;
  parts.own_loss_used = flows.stages[stage].own_loss_used;
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
void add_memory(StageCosts& cost, const RunSettings& settings, const StageParts& parts, int blocks) {
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
  if (parts.own_loss_used) cost.activation_bytes += cost.message_bytes;  // the gradient of the own loss waits
  // A head's forward and backward are one action: what it saves lives no longer.
  if (parts.has_head)
    cost.loss_working_bytes = static_cast<double>(parts.head.activation_bytes + parts.head.working_bytes);
}

}  // namespace

Holdings& Holdings::operator+=(const Holdings& other) {
  parameters += other.parameters;
  gradients += other.gradients;
  optimizer += other.optimizer;
  readout_copies += other.readout_copies;
  checkpoint += other.checkpoint;
  activations += other.activations;
  data += other.data;
  return *this;
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
  holdings.readout_copies = 2 * static_cast<double>(parts.head.copied) * width;
  const bool last = stage + 1 == settings.shape.stages;
  if (settings.checkpoint_every > 0 && settings.checkpoint_every <= settings.steps) {
    holdings.checkpoint = holdings.parameters + state;
    // The first stage writes the tensor that both ends share.
    if (const auto tie = model.tie(); tie && last)
      holdings.checkpoint -= static_cast<double>(tie->numbers) * width * (1 + optimizer->state_ratio());
  }
  return holdings;
}

std::vector<Holdings> rank_holdings(const RunSettings& settings, const Model& model, const std::vector<int>& partition,
                                    const Simulation& simulation) {
  std::vector<Holdings> ranks(settings.shape.ranks);
  for (int rank = 0; rank < settings.shape.ranks; ++rank) {
    for (const int stage : settings.shape.stages_of(rank))
      ranks[rank] += stage_holdings(settings, model, partition, stage);
    ranks[rank].activations = std::max(0.0, simulation.peak_bytes[rank] - ranks[rank].fixed());
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
                               double gflops, double gigabytes_per_second) {
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
    add_memory(cost, settings, parts, partition[stage]);
    costs.stages.push_back(cost);
  }
  return costs;
}

}  // namespace interlock
