#include "launch/run/run.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <set>

#include "launch/run/data_identity.h"
#include "launch/run/failure.h"
#include "launch/run/resume.h"
#include "launch/run/stage_parts.h"
#include "models/model.h"
#include "parallel/plan/deferred_weights.h"
#include "parallel/stage.h"
#include "runtime/storage/weights_set.h"

namespace interlock {
namespace {

// What all ranks of this run share and rank 0 says: a number that other runs do not have, so that messages that stray
// are recognised, and the checkpoint to go on from.
struct Agreement {
  uint64_t run = 0;
  std::string resume;
};

Agreement agree(Transport& transport, const std::string& resume) {
  std::vector<int> members(transport.size());
  for (int rank = 0; rank < transport.size(); ++rank) members[rank] = rank;
  Group world(transport, members, 0, 0);
  Agreement agreement;
  agreement.run = static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch().count());
  world.broadcast(std::as_writable_bytes(std::span(&agreement.run, 1)), 0);
  uint64_t length = resume.size();
  world.broadcast(std::as_writable_bytes(std::span(&length, 1)), 0);
  agreement.resume = resume;
  agreement.resume.resize(length);
  world.broadcast(std::as_writable_bytes(std::span(agreement.resume)), 0);
  return agreement;
}

}  // namespace

namespace {

// Of the W of each stage that were performed, how many were deferred, from 0 to 1.
std::vector<double> deferred_share(const RunSummary& summary, const std::vector<TrainerSettings::RulePlan>& plans) {
  const size_t stages = static_cast<size_t>(plans.front().plan.shape.stages);
  std::vector<double> deferred(stages, 0.0), all(stages, 0.0);
  for (size_t i = 0; i < plans.size(); ++i) {
    const int64_t begin = std::max(plans[i].at_step, summary.first_step);
    const int64_t end = i + 1 < plans.size() ? std::min(plans[i + 1].at_step, summary.steps + 1) : summary.steps + 1;
    if (begin >= end) continue;
    const std::vector<WeightPasses> passes = weight_passes(plans[i].plan);
    for (size_t stage = 0; stage < stages; ++stage) {
      all[stage] += static_cast<double>((end - begin) * passes[stage].all);
      deferred[stage] += static_cast<double>((end - begin) * passes[stage].deferred);
    }
  }
  for (size_t stage = 0; stage < stages; ++stage)
    if (all[stage] > 0) deferred[stage] /= all[stage];
  return deferred;
}

}  // namespace

void check_start_tokenizer(const RunSettings& settings, const WeightsSet& weights) {
  const auto theirs = weights.metadata().find(tokenizer_metadata);
  const std::string path = settings.config.section("tokenizer").text("path", "");
  if (theirs == weights.metadata().end() || path.empty()) return;  // the dataset says that the key is needed
  const std::string ours = tokenizer_fingerprint(settings);
  if (ours.empty() || ours == theirs->second) return;
  throw Error(ExitCode::config, message("run.weights: ", weights.path(),
                                        " was trained with another tokenizer than tokenizer.path = ", path,
                                        " (fingerprint ", theirs->second.substr(0, 12), ", here ", ours.substr(0, 12),
                                        "); start from other weights, or encode the data with the tokenizer of these"));
}

std::vector<TrainerSettings::RulePlan> make_plans(const RunSettings& settings) {
  std::set<int64_t> changes{1};
  for (const auto& rule : settings.rules) changes.insert(rule.at_step);
  for (const BatchPhase& phase : settings.phases) changes.insert(phase.at_step);
  std::vector<TrainerSettings::RulePlan> plans;
  for (const int64_t step : changes) {
    size_t rule = 0;
    while (rule + 1 < settings.rules.size() && settings.rules[rule + 1].at_step <= step) ++rule;
    PlanRequest request = plan_request(settings, rule);
    for (const BatchPhase& phase : settings.phases)
      if (phase.at_step <= step) request.shape.microbatches = static_cast<int>(phase.microbatches);
    plans.push_back({step, make_plan(request)});
  }
  return plans;
}

RunSummary run_rank(const RunSettings& settings, Transport& transport, std::shared_ptr<const Dataset> dataset,
                    TrainerOutlets outlets, const RunRequest& request) {
  at::set_num_threads(settings.threads);
  const Agreement agreement = agree(transport, request.resume);
  const auto model = make_model(settings, *dataset);
  const std::vector<int> partition = make_partition(settings, *model);
  TrainerSettings trainer;
  trainer.plans = make_plans(settings);
  trainer.learning_rate =
      LearningRate(LearningRate::Config::from(settings.config.section("optimizer"), settings.steps));
  trainer.clip = settings.clip;
  trainer.seed = settings.seed;
  trainer.steps = settings.steps;
  trainer.evaluate_every = settings.evaluate_every;
  trainer.evaluate_sequences = settings.evaluate_sequences;
  trainer.run = agreement.run;
  trainer.aliases = model->aliases();
  trainer.metadata = {{"interlock.config", settings.config.resolved()}};
  const std::string tokenizer = tokenizer_fingerprint(settings);
  if (!tokenizer.empty()) trainer.metadata[tokenizer_metadata] = tokenizer;
  trainer.refresh_every = settings.refresh_every;
  trainer.until = request.until;
  if (request.checkpoints)
    trainer.checkpoint = {
        settings.folder, settings.checkpoint_every, settings.checkpoint_keep, settings.config.resolved(), {},
        trainer.aliases};
  trainer.checkpoint.state = data_identity(settings, *dataset);

  std::shared_ptr<const WeightsSet> weights;
  DataPosition start;
  if (!agreement.resume.empty()) {
    trainer.resume = Checkpoint::open(agreement.resume);
    check_changes(settings, *dataset, *trainer.resume);
    start = data_position(*trainer.resume);
    weights = WeightsSet::open(agreement.resume);
  } else if (!settings.weights.empty()) {
    weights = WeightsSet::open(settings.weights);
  }

  const Topology topology{settings.shape, transport.rank()};
  auto loader = std::make_shared<const Loader>(std::move(dataset), settings.batch_shape(), settings.phases, start);
  Engine::Parts parts{.transport = transport,
                      .topology = topology,
                      .stages = {},
                      .loader = loader,
                      .boundary_shape = model->boundary_shape(),
                      .dtype = model->boundary_type(),
                      .run = trainer.run,
                      .trace_steps = start.step + settings.trace_steps,
                      .tied = settings.tied()};
  const std::vector<bool> with_heads = stages_with_heads(settings);
  std::optional<Engine> engine;
  try {
    for (const int index : topology.stages()) {
      parts.stages.push_back(
          make_stage(settings, *model, partition, index, with_heads[index], weights.get(), topology.replica()));
    }
    weights.reset();  // copied; a mapped file keeps its place on the disk after it is removed
    engine.emplace(std::move(parts));
    return Trainer(*engine, loader, std::move(trainer), std::move(outlets)).run();
  } catch (...) {
    throw as_error(engine ? "in " + engine->current_action() : "while the stages were built");
  }
}

SimulationCosts measured_costs(const RunSummary& summary, const SimulationCosts& estimate,
                               const std::vector<TrainerSettings::RulePlan>& plans) {
  SimulationCosts costs = estimate;
  const std::vector<double> deferred = deferred_share(summary, plans);
  for (const RankSummary& rank : summary.ranks) {
    for (const auto& [stage, kinds] : rank.costs) {
      const auto mean = [&](Kind kind) {
        const MeasuredCost& cost = kinds[static_cast<int>(kind)];
        return cost.times > 0 ? cost.seconds / static_cast<double>(cost.times) : 0.0;
      };
      StageCosts& out = costs.stages[stage];
      out.forward = mean(Kind::forward);
      out.loss = mean(Kind::loss);
      out.update = mean(Kind::update);
      // W and B walk the body for the input gradient too, but for a deferred W, whose walk I did; where no I was seen,
      // half of the walk is counted to each.
      const double pass = mean(Kind::input_gradient);
      const double walk = std::max(mean(Kind::weight_gradient) + deferred[stage] * pass, mean(Kind::backward));
      out.input_gradient = pass > 0 ? pass : walk / 2;
      out.weight_gradient = std::max(0.0, walk - out.input_gradient);
    }
  }
  return costs;
}

}  // namespace interlock
