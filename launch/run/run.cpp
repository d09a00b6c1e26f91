#include "launch/run/run.h"

#include <ATen/Parallel.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <thread>

#include "launch/forecast/run_plans.h"
#include "launch/run/assemble.h"
#include "launch/run/data_identity.h"
#include "launch/run/device_transport.h"
#include "launch/run/failure.h"
#include "launch/run/resume.h"
#include "launch/run/together.h"
#include "launch/settings/parts.h"
#include "launch/settings/plans.h"
#include "models/model.h"
#include "parallel/plan/pair_order.h"
#include "parallel/stage/stage.h"
#include "parallel/transport/mpi.h"
#include "runtime/core/log.h"
#include "runtime/data/batch_stream.h"
#include "runtime/storage/weights.h"
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
  Group world = Group::of_all(transport);
  Agreement agreement;
  agreement.run = static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch().count());
  world.broadcast(std::as_writable_bytes(std::span(&agreement.run, 1)), 0);
  agreement.resume = world.broadcast(resume, 0);
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

// What stages do in some step of the run; of plans that begin after its last step nothing counts.
struct Roles {
  std::vector<bool> with_heads, learns;
};
Roles roles_in(const TrainerSettings::RulePlans& plans, int64_t steps, int stages) {
  Roles roles{std::vector<bool>(stages, false), std::vector<bool>(stages, false)};
  roles.with_heads.back() = true;
  for (const auto& [at_step, plan] : plans) {
    if (at_step > std::max<int64_t>(1, steps)) continue;
    for (int stage = 0; stage < stages; ++stage) {
      roles.with_heads[stage] = roles.with_heads[stage] || plan.flows.stages[stage].has_loss;
      roles.learns[stage] = roles.learns[stage] || plan.flows.stages[stage].learns;
    }
  }
  return roles;
}

// Told by rank 0, for all: which rank computes on what, and why. CommonError when some have a GPU and others none: two
// kinds of device give two kinds of bits, and one would wait for the other.
void tell_devices(Transport& transport, const Device& device) {
  Group world = Group::of_all(transport);
  const std::vector<std::string> names = world.all_gather((device.is_cpu() ? "cpu " : "gpu ") + device.name);
  for (size_t rank = 0; rank < names.size(); ++rank)
    if (names[rank].substr(0, 3) != names.front().substr(0, 3))
      throw CommonError(
          {ExitCode::config,
           message("rank 0 computes on ", names.front().substr(4), ", but rank ", rank, " on ", names[rank].substr(4),
                   "; set run.device to \"cpu\", or start ranks only where there is a GPU")});
  if (world.position() != 0) return;
  log_info(message("computes on ", device.name, ": ", device.reason));
  for (size_t rank = 1; rank < names.size(); ++rank)
    if (!device.is_cpu()) log_info(message("rank ", rank, " computes on ", names[rank].substr(4)));
}

// Messages without headers: ranks that differ would take each other's bytes for something else.
void check_alike(Transport& transport, const RunSettings& settings,
                 const std::vector<TrainerSettings::RulePlan>& plans) {
  std::string all = settings.config.resolved();
  for (const auto& [at_step, plan] : plans) all += print_plan(plan);
  const std::string own = message(std::hash<std::string>{}(all));
  const std::vector<std::string> found = Group::of_all(transport).all_gather(own);
  for (size_t rank = 0; rank < found.size(); ++rank)
    if (found[rank] != found.front())
      throw CommonError({ExitCode::config, message("rank ", rank, " has another config or other plans than rank 0: ",
                                                   "start all ranks with the same program, file and overrides")});
}

// A host that has looked for the folder before rank 0 made it may believe for a while that there is none (NFS); listing
// the folder above has it ask again.
bool sees_folder(const std::string& folder) {
  namespace fs = std::filesystem;
  std::error_code problem;
  fs::path path = fs::absolute(folder).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();  // "runs/x/"
  for (int attempt = 0; attempt < 8; ++attempt) {
    if (attempt > 0) std::this_thread::sleep_for(std::chrono::milliseconds(500));
    const fs::directory_iterator listed(path.parent_path(), problem);
    if (fs::is_directory(path, problem)) return true;
  }
  return false;
}

// Rank 0 has made the folder, and every rank writes its own part of checkpoints there. A run that is to write none does
// without, unless it is asked to stop.
void check_run_folder(const RunSettings& settings, const RunRequest& request) {
  if ((settings.checkpoint.every == 0 && !request.until) || sees_folder(settings.folder)) return;
  throw Error(
      ExitCode::cannot_write,
      message(settings.folder, ": the run folder, which rank 0 has made, is not seen here: run.folder must lie ",
              "on a file system that all hosts share (`interlock doctor --cluster` looks)"));
}

// Of the files that this rank begins with. Errors as of check_changes and WeightsSet::open.
struct Beginning {
  std::shared_ptr<const Checkpoint> checkpoint;
  std::shared_ptr<const WeightsSet> weights;
};
Beginning open_beginning(const RunSettings& settings, const Dataset& dataset, const std::string& resume) {
  Beginning beginning;
  if (!resume.empty()) {
    beginning.checkpoint = Checkpoint::open(resume);
    check_changes(settings, dataset, *beginning.checkpoint);
    beginning.weights = WeightsSet::open(resume);
  } else if (!settings.weights.empty()) {
    beginning.weights = WeightsSet::open(settings.weights);
  }
  return beginning;
}

// Checkpoints of a run that trains a little of a model name the weights it started from, and leave out the rest. One
// that goes on names those that its checkpoint names.
void name_base(const RunSettings& settings, const std::string& resume, CheckpointSettings& checkpoint) {
  if (!keep_only_what_trains(settings.techniques) || checkpoint.run_folder.empty()) return;
  std::string path = settings.weights.empty() ? "" : std::filesystem::absolute(settings.weights).string();
  if (!resume.empty()) {
    const auto state = Checkpoint::open(resume)->manifest().state;
    const auto named = state.find(base_state);
    path = named == state.end() ? "" : named->second;
  }
  if (path.empty()) return;
  const auto base = WeightsSet::open(path);
  for (const TensorEntry& tensor : base->tensors()) checkpoint.in_base.insert(tensor.name);
  checkpoint.state[base_state] = path;
  checkpoint.state[base_digest_state] = weights_digest(*base);
}

// What is told of guesses, by what is guessed.
std::function<Scores(const std::vector<Guess>&)> score_of(const Dataset& dataset) {
  if (dataset.objective() == Objective::regression)
    return [](const std::vector<Guess>& guesses) { return regression_scores(guesses); };
  return [classes = dataset.classes()](const std::vector<Guess>& guesses) {
    return classification_scores(guesses, classes);
  };
}

}  // namespace

Device device_of(const RunSettings& settings, const Transport& host) {
  const LaunchPlace place = launch_place();
  const bool own_process = place.launched && place.size == host.size();
  return choose_device(settings.device, own_process ? place.local_rank : host.rank());
}

RunSummary run_rank(const RunSettings& settings, Transport& host, std::shared_ptr<const Dataset> dataset,
                    TrainerCallbacks callbacks, const RunRequest& request) {
  at::set_num_threads(settings.parallel.threads);
  const Device device = device_of(settings, host);
  // Rank 0 has made the folder; the others know that it is there when they have agreed with it.
  const auto pulse = std::make_shared<Pulse>();
  const bool leads = host.rank() == 0;
  if (leads && !request.pulses.empty()) pulse->publish(request.pulses, 0);
  const Agreement agreement = agree(host, request.resume);
  Beginning beginning;
  begin_together(host, [&] {  // one host may lack what the others have
    if (!leads && !request.pulses.empty()) {
      check_run_folder(settings, request);
      pulse->publish(request.pulses, host.rank());
    }
    beginning = open_beginning(settings, *dataset, agreement.resume);
  });
  const auto model = make_model(settings, *dataset);
  const std::vector<int> partition = make_partition(settings, *model);
  TrainerSettings trainer;
  trainer.plans = request.plans;
  if (!trainer.plans) trainer.plans = std::make_shared<const TrainerSettings::RulePlans>(make_plans(settings, *model));
  tell_devices(host, device);
  std::string without_nccl;
  const std::shared_ptr<NcclCalls> calls = module_nccl(device, without_nccl);
  const DeviceTransport over_device = choose_device_transport(settings, host, device, calls, without_nccl);
  Transport& transport = over_device.transport ? *over_device.transport : host;
  if (host.rank() == 0 && host.size() > 1)
    log_info(message("messages over ", transport.description(), ": ", over_device.reason));
  if (transport.ordered_pairs()) {
    check_alike(transport, settings, *trainer.plans);
    for (const auto& [at_step, plan] : *trainer.plans) check_pair_order(plan);
  }
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
  if (const auto labels = dataset->labels(); !labels.empty()) trainer.metadata[labels_metadata] = labels_text(labels);
  trainer.score = score_of(*dataset);
  if (settings.evaluation.keep_best != "none")
    trainer.best = {settings.evaluation.keep_best, settings.evaluation.patience};
  trainer.techniques = settings.techniques;
  if (choose_layers(settings.techniques))
    for (const auto& [layer, place] : places_of_layers(*model, partition)) trainer.layers.push_back(place);
  trainer.refresh_every = settings.learning.refresh_every;
  trainer.until = request.until;
  trainer.traced = request.pulses;
  trainer.divergences = request.divergences.value_or(DivergenceRecord(settings.divergence));
  if (request.checkpoints)
    trainer.checkpoint = {
        settings.folder, settings.checkpoint.every, settings.checkpoint.keep, settings.config.resolved(), {},
        trainer.aliases};
  trainer.checkpoint.state = data_identity(*dataset);
  trainer.checkpoint.state_is_shared_out = settings.parallel.shard_optimizer;

  DataPosition start;
  std::shared_ptr<const WeightsSet> weights = std::move(beginning.weights);
  trainer.resume = std::move(beginning.checkpoint);
  if (trainer.resume) {
    start = data_position(*trainer.resume);
    if (request.next_sample) start.samples = *request.next_sample;
    trainer.checkpoint.resumed = trainer.resume->manifest().step;
  }
  name_base(settings, agreement.resume, trainer.checkpoint);
  if (const auto base = trainer.checkpoint.state.find(base_digest_state); base != trainer.checkpoint.state.end())
    trainer.metadata[base_digest_state] = base->second;

  StoredHeads heads = trainer.resume ? StoredHeads::required : StoredHeads::if_there;
  if (weights && !trainer.resume && stored_labels(*weights) != dataset->labels()) heads = StoredHeads::passed_over;

  const Topology topology{settings.parallel.shape, transport.rank()};
  auto loader = std::make_shared<const Loader>(std::move(dataset), settings.parallel.batch_shape(),
                                               settings.parallel.batch.phases, start);
  const Roles roles = roles_in(*trainer.plans, settings.steps, settings.parallel.shape.stages);
  std::optional<RankContext> context;
  std::optional<Engine> engine;
  try {
    std::vector<std::unique_ptr<Stage>> stages;
    for (const int index : topology.stages())
      stages.push_back(make_stage(
          settings, *model, partition,
          {index, roles.with_heads[index], roles.learns[index], topology.replica(), weights.get(), heads, device.at}));
    weights.reset();  // copied; a mapped file keeps its place on the disk after it is removed
    context.emplace(transport, topology, agreement.run, std::move(stages), model->tie() && model->tie()->trained,
                    device);
    const int64_t last = std::min(settings.steps, request.until.value_or(settings.steps));
    engine.emplace(*context,
                   Engine::Settings{.loader = loader,
                                    .batches = std::make_unique<BatchStream>(
                                        loader, batches_of_rank(topology, *trainer.plans, start.step + 1, last)),
                                    .boundaries = make_boundaries(*model, partition),
                                    .pulse = pulse,
                                    .trace_steps = start.step + settings.trace_steps});
    return Trainer(*context, *engine, loader, std::move(trainer), std::move(callbacks)).run();
  } catch (...) {
    throw as_error(engine ? "in " + engine->current_action() : "while the stages were built");
  }
}

}  // namespace interlock
