#include "launch/run/perform.h"

#include <algorithm>
#include <atomic>
#include <filesystem>

#include "launch/folders/resume_command.h"
#include "launch/forecast/estimate.h"
#include "launch/forecast/measured_costs.h"
#include "launch/forecast/run_plans.h"
#include "launch/run/data_identity.h"
#include "launch/run/resume.h"
#include "launch/run/run.h"
#include "launch/run/schedule_changes.h"
#include "launch/run/start_techniques.h"
#include "launch/run/together.h"
#include "launch/settings/parts.h"
#include "models/model.h"
#include "parallel/transport/common_error.h"
#include "parallel/transport/slow_links.h"
#include "runtime/core/log.h"
#include "runtime/core/nearest_name.h"
#include "runtime/optimization/learning_rate.h"
#include "runtime/storage/weights_set.h"

namespace interlock {
namespace {

// Whatever a run starts from must not be among the files that --overwrite removes.
void refuse_inside(const std::string& folder, const std::string& key, const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code absent;
  const fs::path outer = fs::weakly_canonical(folder, absent), inner = fs::weakly_canonical(path, absent);
  if (std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end()).first != outer.end()) return;
  throw Error(ExitCode::config, message(key, " = ", path,
                                        " lies in run.folder, whose files a run replaces; choose another "
                                        "run.folder"));
}

// A full disk costs lines of metrics, not the run.
void record(RunFolder& folder, const StepMetrics& metrics) {
  try {
    folder.restore();
    folder.forget_earlier_result();
    folder.metrics().write(metrics);
  } catch (const Error& error) {
    static std::atomic<bool> told{false};
    if (!told.exchange(true)) log_warning(message("metrics are lost from step ", metrics.step, " on: ", error.what()));
  }
}

// Rows that no token stands for cost memory and time, and mostly come from a tokenizer that turned out smaller than
// asked.
void tell_unused_rows(const Model& model, const Dataset& dataset) {
  if (model.vocabulary() == 0 || dataset.features() == 0) return;
  const int64_t unused = model.vocabulary() - dataset.features();
  if (unused > 0)
    log_warning(message("model.vocabulary = ", model.vocabulary(), ", but the tokenizer has ", dataset.features(),
                        " tokens: ", unused, " rows of the model stand for none"));
}

// What a config says, and its author may not have meant.
void tell_what_does_not_learn(const RunSettings& settings, const Model& model) {
  const Section optimizer = settings.config.section("optimizer");
  const LearningRate::Config rate = LearningRate::Config::from(optimizer, settings.steps);
  if (rate.peak == 0) log_warning("optimizer.learning_rate = 0: no parameter changes");
  if (rate.warmup_steps > settings.steps)
    log_warning(message("optimizer.warmup_steps = ", rate.warmup_steps, ", and run.steps = ", settings.steps,
                        ": the run ends before its learning rate is reached"));
  if (settings.parallel.shape.stages == 1 && settings.learning.rules.front().request.rule != "global" &&
      settings.config.section("learning").has("rule"))
    log_warning("parallel.stages = 1: there are no stages below, so learning.rule and its heads change nothing");
  const int last = settings.parallel.shape.stages - 1;
  if (last == 0 || !model.tie() || !model.tie()->trained) return;
  for (const auto& [at_step, request] : settings.learning.rules) {
    const bool below = std::ranges::count(request.frozen, 0) > 0, above = std::ranges::count(request.frozen, last) > 0;
    if (below == above) continue;
    log_warning(message("learning.frozen names stage ", below ? 0 : last, ", and the matrix ", model.tie()->body,
                        ", which it shares with stage ", below ? last : 0, ", goes on learning there; name both"));
    return;
  }
}

// Before anything in the folder changes: a config that is refused leaves it as it is.
int64_t steps_done(const RunSettings& settings, const Dataset& dataset, const std::string& checkpoint) {
  const auto opened = Checkpoint::open(checkpoint);
  const std::vector<std::string> changed = check_changes(settings, dataset, *opened);
  log_info("going on from " + checkpoint);
  for (const std::string& what : changed) log_info("changed since the checkpoint: " + what);
  return opened->manifest().step;
}

// Of the plan that the run begins with.
SimulationCosts costs_of(const RunSettings& settings, const Model& model, const RunSummary& summary,
                         const TrainerSettings::RulePlans& plans) {
  const std::vector<int> partition = make_partition(settings, model);
  return measured_costs(summary, estimate_costs(settings, model, partition, plans.front().plan.flows), plans);
}

// On every rank: a run that diverges and is to go back is performed again from there. `checkpoint`: on rank 0, where.
RunSummary run_through(const RunSettings& settings, Transport& transport, const std::shared_ptr<const Dataset>& dataset,
                       const TrainerCallbacks& callbacks, RunRequest request,
                       const std::function<std::string()>& checkpoint) {
  for (;;) {
    RunSummary summary = run_rank(settings, transport, dataset, callbacks, request);
    if (summary.ending != Ending::rewinds) return summary;
    request.divergences = summary.divergences;
    request.next_sample = summary.next_sample;
    if (checkpoint) request.resume = checkpoint();
  }
}

// Rank 0: what it does and writes down when a step was not finite.
class Divergences {
 public:
  Divergences(const RunSettings& settings, RunFolder& folder, const PerformCallbacks& callbacks)
      : settings_(settings), folder_(folder), callbacks_(callbacks) {}
  void take(const Divergence& divergence) {
    last_ = divergence;
    if (settings_.divergence.policy != OnDivergence::skip) return;
    tell("skipped", divergence.reason + ": no rank updates anything");
  }
  std::string go_back() {
    const std::string checkpoint = find_checkpoint(settings_.folder);
    if (checkpoint.empty())
      throw Error(ExitCode::gave_up,
                  message(last_.reason, ", and ", settings_.folder, " holds no whole checkpoint to go ",
                          "back to; with a smaller checkpoint.every there would be one"));
    const int64_t step = Checkpoint::open(checkpoint)->manifest().step;
    tell("rewound", message(last_.reason, ": back to step ", step, ", and on behind the data of step ", last_.step));
    folder_.go_back(step);
    return checkpoint;
  }

 private:
  void tell(const std::string& event, const std::string& reason) {
    log_warning(reason);
    if (callbacks_.on_incident) callbacks_.on_incident({event, last_.rank, last_.step, reason});
  }
  const RunSettings& settings_;
  RunFolder& folder_;
  const PerformCallbacks& callbacks_;
  Divergence last_;
};

// What remains of a run whose file could not be written, and how it goes on. `weights`: those of its end are written.
Error with_what_is_kept(const Error& error, const std::string& run_folder, bool weights) {
  std::string kept = weights ? weights_file(run_folder) : "";
  try {
    if (const auto checkpoints = list_checkpoints(run_folder); !checkpoints.empty())
      kept += message(kept.empty() ? "" : " and ", checkpoints.front(), "; `", resume_command(run_folder),
                      "` goes on from the newest whole checkpoint");
  } catch (const Error&) {  // a disk that fails at this too: its first word counts
  }
  return {error.code(), kept.empty() ? error.what() : message(error.what(), ". Kept: ", kept)};
}

// Rank 0: the run and its folder.
RunResult lead(const RunSettings& settings, Transport& transport, std::shared_ptr<const Dataset> dataset,
               const PerformRequest& request, const PerformCallbacks& callbacks) {
  RunFolder folder(settings.folder, request.folder);
  const bool resume = request.folder == FolderUse::resume;
  const std::string checkpoint = resume ? checkpoint_to_resume(settings.folder) : "";
  const int64_t done = checkpoint.empty() ? 0 : steps_done(settings, *dataset, checkpoint);
  if (resume && checkpoint.empty()) log_info("no checkpoint in " + settings.folder + ": starting from the beginning");
  if (request.until && *request.until <= done)
    throw Error(ExitCode::config,
                message("--until ", *request.until, ", but ", checkpoint, " is beyond that step already"));
  const auto model = make_model(settings, *dataset);
  tell_unused_rows(*model, *dataset);
  tell_what_does_not_learn(settings, *model);
  for (const std::string& note : dataset->notes()) log_info(note);
  Divergences divergences(settings, folder, callbacks);
  const TrainerCallbacks to_trainer{weights_file(settings.folder),
                                    [&](const StepMetrics& metrics) {
                                      record(folder, metrics);
                                      if (callbacks.on_step) callbacks.on_step(metrics);
                                    },
                                    callbacks.stop_wanted,
                                    [&](const Divergence& divergence) { divergences.take(divergence); },
                                    [](int64_t step, const Plan& before, const Plan& now) {
                                      if (const std::string text = phase_text(step, before, now); !text.empty())
                                        log_info(text);
                                    }};
  const auto plans =
      request.plans ? request.plans : std::make_shared<const TrainerSettings::RulePlans>(make_plans(settings, *model));
  bool weights = false;
  try {
    folder.write_start(settings, *dataset, {device_of(settings, transport).name, transport.description()}, done);
    const RunSummary summary =
        run_through(settings, transport, dataset, to_trainer, {checkpoint, request.until, true, plans, settings.folder},
                    [&] { return divergences.go_back(); });
    weights = summary.ending != Ending::stopped;
    folder.write_end(settings, summary, costs_of(settings, *model, summary, *plans));
    RunResult result = result_of(settings, summary, *dataset);
    folder.write_result(to_json(result), result.steps == 0 || result.performed > 0);
    return result;
  } catch (const CommonError&) {
    throw;
  } catch (const Error& error) {
    if (error.code() != ExitCode::cannot_write) throw;
    throw with_what_is_kept(error, settings.folder, weights);
  }
}

}  // namespace

void check_folders(const RunSettings& settings, const Dataset& dataset, const PerformRequest& request) {
  RunFolder::check(settings.folder, request.folder);
  if (request.folder == FolderUse::resume && !list_checkpoints(settings.folder).empty()) return;
  if (const Section tokenizer = settings.config.section("tokenizer"); tokenizer.has("path"))
    refuse_inside(settings.folder, "tokenizer.path", tokenizer.text("path", ""));
  if (settings.weights.empty()) return;
  refuse_inside(settings.folder, "run.weights", settings.weights);
  const auto weights = WeightsSet::open(settings.weights);
  check_start_tokenizer(settings, dataset, *weights);
  check_start_techniques(settings, dataset, *weights);
}

void check_until(const RunSettings& settings, const PerformRequest& request) {
  if (request.until && *request.until > settings.steps)
    throw Error(ExitCode::config,
                message("--until ", *request.until, " lies behind the last step, run.steps = ", settings.steps));
}

RunResult perform(const RunSettings& settings, Transport& given, std::shared_ptr<const Dataset> dataset,
                  const PerformRequest& request, const PerformCallbacks& callbacks) {
  const LinkSpeed& links = settings.parallel.links;
  const auto slowed = links.slowed() ? make_slow_links(given, links) : nullptr;
  Transport& transport = slowed ? *slowed : given;
  // First: a device that cannot be had, or weights that one host lacks, leave no folder behind.
  begin_together(given, [&] {
    device_of(settings, transport);
    const bool looked_at = transport.rank() == 0 || request.folder == FolderUse::resume;  // by check_folders; later
    if (!looked_at && !settings.weights.empty()) WeightsSet::open(settings.weights);
  });
  if (transport.rank() == 0) return lead(settings, transport, dataset, request, callbacks);
  const RunSummary summary = run_through(settings, transport, dataset, {weights_file(settings.folder), {}, {}},
                                         {"", request.until, true, request.plans, settings.folder}, {});
  RunResult result;
  result.run = settings.folder;
  result.ending = summary.ending;
  result.steps = summary.steps;
  return result;
}

}  // namespace interlock
