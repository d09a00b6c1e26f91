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
#include "parallel/stage/stage.h"
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
  const std::vector<bool> with_heads = stages_with_heads(settings);
  std::optional<Engine> engine;
  try {
    std::vector<std::unique_ptr<Stage>> stages;
    for (const int index : topology.stages())
      stages.push_back(
          make_stage(settings, *model, partition, index, with_heads[index], weights.get(), topology.replica()));
    weights.reset();  // copied; a mapped file keeps its place on the disk after it is removed
    RankContext context(transport, topology, agreement.run, std::move(stages), settings.tied());
    engine.emplace(context, Engine::Settings{.loader = loader,
                                             .boundary_shape = model->boundary_shape(),
                                             .dtype = model->boundary_type(),
                                             .trace_steps = start.step + settings.trace_steps});
    return Trainer(context, *engine, loader, std::move(trainer), std::move(outlets)).run();
  } catch (...) {
    throw as_error(engine ? "in " + engine->current_action() : "while the stages were built");
  }
}

SimulationCosts measured_costs(const RunSummary& summary, const SimulationCosts& estimate) {
  SimulationCosts costs = estimate;
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
      // W and B walk the body for the input gradient too; where no I was seen, half of the walk is counted to each.
      const double walk = std::max(mean(Kind::weight_gradient), mean(Kind::backward));
      const double pass = mean(Kind::input_gradient);
      out.input_gradient = pass > 0 ? pass : walk / 2;
      out.weight_gradient = std::max(0.0, walk - out.input_gradient);
    }
  }
  return costs;
}

}  // namespace interlock
