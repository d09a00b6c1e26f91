#include "launch/run.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <optional>

#include "launch/failure.h"
#include "models/model.h"
#include "parallel/stage.h"

namespace interlock {
namespace {

// A number that all ranks of this run share and other runs do not: messages that stray are recognised.
uint64_t agree_on_run(Transport& transport) {
  std::vector<int> members(transport.size());
  for (int rank = 0; rank < transport.size(); ++rank) members[rank] = rank;
  uint64_t run = static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch().count());
  Group(transport, members, 0, 0).broadcast(std::as_writable_bytes(std::span(&run, 1)), 0);
  return run;
}

}  // namespace

std::vector<TrainerSettings::RulePlan> make_plans(const RunSettings& settings) {
  std::vector<TrainerSettings::RulePlan> plans;
  for (size_t change = 0; change < settings.rules.size(); ++change)
    plans.push_back({settings.rules[change].at_step, make_plan(plan_request(settings, change))});
  return plans;
}

RunSummary run_rank(const RunSettings& settings, Transport& transport, std::shared_ptr<const Dataset> dataset,
                    TrainerOutlets outlets) {
  at::set_num_threads(settings.threads);
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
  trainer.run = agree_on_run(transport);
  trainer.aliases = model->aliases();
  trainer.metadata = {{"interlock.config", settings.config.resolved()}};

  const Topology topology{settings.shape, transport.rank()};
  auto loader = std::make_shared<const Loader>(std::move(dataset), settings.batch_shape());
  Engine::Parts parts{transport,
                      topology,
                      {},
                      loader,
                      model->boundary_shape(),
                      settings.float64 ? at::kDouble : at::kFloat,
                      trainer.run,
                      settings.trace_steps};
  std::optional<Engine> engine;
  try {
    for (const int index : topology.stages()) {
      // A head is built when a rule of this run's steps needs it; a change that comes after the last step builds none.
      const bool with_head = std::any_of(trainer.plans.begin(), trainer.plans.end(), [&](const auto& rule) {
        return rule.at_step <= std::max<int64_t>(1, settings.steps) && rule.plan.flows.stages[index].has_loss;
      });
      parts.stages.push_back(make_stage(settings, *model, partition, index, with_head));
    }
    engine.emplace(std::move(parts));
    return Trainer(*engine, loader, std::move(trainer), std::move(outlets)).run();
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
