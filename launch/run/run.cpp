#include "launch/run/run.h"

#include <ATen/Parallel.h>

#include <chrono>
#include <optional>

#include "launch/run/assemble.h"
#include "launch/run/data_identity.h"
#include "launch/run/failure.h"
#include "launch/run/resume.h"
#include "launch/settings/parts.h"
#include "launch/forecast/run_plans.h"
#include "launch/settings/plans.h"
#include "models/model.h"
#include "parallel/plan/pair_order.h"
#include "parallel/stage/stage.h"
#include "runtime/data/batch_stream.h"
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

// Which batches a rank needs of its replica, and what of them: the first stage the inputs, a loss the targets.
BatchStream::Request batches_of_rank(const Topology& topology, const std::vector<TrainerSettings::RulePlan>& plans,
                                     int64_t first, int64_t last) {
  std::vector<std::pair<int64_t, bool>> targets;  // from step .first on
  for (const auto& [at_step, plan] : plans)
    targets.emplace_back(
        at_step, std::ranges::any_of(topology.stages(), [&](int stage) { return plan.flows.stages[stage].has_loss; }));
  BatchStream::Request request{.replica = topology.replica(), .first_step = first, .last_step = last};
  request.parts = [inputs = topology.holds(0), targets = std::move(targets)](int64_t step) {
    BatchParts parts{.inputs = inputs, .targets = targets.front().second};
    for (const auto& [at_step, wanted] : targets)
      if (at_step <= step) parts.targets = wanted;
    return parts;
  };
  return request;
}

}  // namespace

RunSummary run_rank(const RunSettings& settings, Transport& transport, std::shared_ptr<const Dataset> dataset,
                    TrainerCallbacks callbacks, const RunRequest& request) {
  at::set_num_threads(settings.parallel.threads);
  const Agreement agreement = agree(transport, request.resume);
  const auto model = make_model(settings, *dataset);
  const std::vector<int> partition = make_partition(settings, *model);
  TrainerSettings trainer;
  trainer.plans = make_plans(settings, *model);
  if (transport.ordered_pairs())
    for (const auto& [at_step, plan] : trainer.plans) check_pair_order(plan);
  trainer.learning_rate =
      LearningRate(LearningRate::Config::from(settings.config.section("optimizer"), settings.steps));
  trainer.clip = settings.clip.norm;
  trainer.seed = settings.seed;
  trainer.steps = settings.steps;
  trainer.evaluate_every = settings.evaluation.every;
  trainer.evaluate_sequences = settings.evaluation.sequences;
  trainer.aliases = model->aliases();
  trainer.metadata = {{"interlock.config", settings.config.resolved()}};
  const std::string tokenizer = tokenizer_fingerprint(*dataset);
  if (!tokenizer.empty()) trainer.metadata[tokenizer_metadata] = tokenizer;
  trainer.refresh_every = settings.learning.refresh_every;
  trainer.until = request.until;
  if (request.checkpoints)
    trainer.checkpoint = {
        settings.folder, settings.checkpoint.every, settings.checkpoint.keep, settings.config.resolved(), {},
        trainer.aliases};
  trainer.checkpoint.state = data_identity(*dataset);
  trainer.checkpoint.state_is_shared_out = settings.parallel.shard_optimizer;

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

  const Topology topology{settings.parallel.shape, transport.rank()};
  auto loader = std::make_shared<const Loader>(std::move(dataset), settings.parallel.batch_shape(),
                                               settings.parallel.batch.phases, start);
  const std::vector<bool> with_heads = stages_with_heads(settings, *model),
                          learns = stages_that_learn(settings, *model);
  std::optional<RankContext> context;
  std::optional<Engine> engine;
  try {
    std::vector<std::unique_ptr<Stage>> stages;
    for (const int index : topology.stages())
      stages.push_back(make_stage(settings, *model, partition,
                                  {index, with_heads[index], learns[index], topology.replica(), weights.get()}));
    weights.reset();  // copied; a mapped file keeps its place on the disk after it is removed
    context.emplace(transport, topology, agreement.run, std::move(stages), model->tie() && model->tie()->trained);
    const int64_t last = std::min(settings.steps, request.until.value_or(settings.steps));
    engine.emplace(*context,
                   Engine::Settings{.loader = loader,
                                    .batches = std::make_unique<BatchStream>(
                                        loader, batches_of_rank(topology, trainer.plans, start.step + 1, last)),
                                    .boundaries = make_boundaries(*model, partition),
                                    .trace_steps = start.step + settings.trace_steps});
    return Trainer(*context, *engine, loader, std::move(trainer), std::move(callbacks)).run();
  } catch (...) {
    throw as_error(engine ? "in " + engine->current_action() : "while the stages were built");
  }
}

}  // namespace interlock
