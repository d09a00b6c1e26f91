// `interlock train`: one run from a config. Alone it starts its own mpirun; under mpirun or srun it is one of the
// ranks.

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <sstream>

#include "launch/command.h"
#include "launch/forecast/run_plans.h"
#include "launch/heartbeat/rank_monitors.h"
#include "launch/monitor/event_log.h"
#include "launch/monitor/rank_watch.h"
#include "launch/monitor/verdict_file.h"
#include "launch/run/device_transport.h"
#include "launch/run/perform.h"
#include "launch/run/together.h"
#include "launch/settings/parts.h"
#include "launch/supervisor/restart.h"
#include "launch/supervisor/stop_request.h"
#include "models/model.h"
#include "parallel/transport/launch_place.h"
#include "parallel/transport/loopback.h"
#include "parallel/transport/transport.h"
#include "runtime/core/log.h"
#include "runtime/core/lost.h"
#include "runtime/observe/progress.h"
#include "runtime/observe/stack_dump.h"
#include "runtime/storage/checkpoint.h"

namespace interlock {
namespace {

using Plans = std::shared_ptr<const TrainerSettings::RulePlans>;
Plans plans_of(const RunSettings& settings, const Dataset& dataset) {
  return std::make_shared<const TrainerSettings::RulePlans>(make_plans(settings, *make_model(settings, dataset)));
}

class Train final : public Command {
 public:
  std::string summary() const override { return "train a model as a config says"; }
  void declare(CLI::App& app) override {
    app.add_option("config", config_, "the run as a TOML file")->required();
    app.add_option("--set", overrides_, "override a key: section.key=value")
        ->type_name("KEY=VALUE")
        ->allow_extra_args(false);
    app.add_flag("--json", json_, "end with one JSON object on stdout");
    auto* overwrite = app.add_flag("--overwrite", overwrite_, "replace the files of a run folder that exists");
    app.add_flag("--resume", resume_,
                 "go on from the newest whole checkpoint of the run folder; start when there is none")
        ->excludes(overwrite);
    app.add_option("--until", until_, "write a checkpoint after this step and stop there")
        ->check(CLI::Range(int64_t{1}, int64_t{1} << 40));
    app.add_option("--restarts", restarts_,
                   "start again from the newest checkpoint when a rank was lost or hangs, at most so many times")
        ->check(CLI::Range(int64_t{0}, int64_t{1} << 20));
  }
  bool takes_stop_requests() const override { return true; }
  int run() override;

 private:
  RunSettings load() const {
    RunSettings settings = read_settings(Config::from_file(config_, overrides_));
    check_settings(settings);
    check_nccl(settings);
    return settings;
  }
  PerformRequest perform_request() const {
    return {resume_ ? FolderUse::resume : overwrite_ ? FolderUse::overwrite : FolderUse::fresh, until_};
  }
  std::shared_ptr<const Dataset> prepare(const RunSettings& settings, bool leads) const;
  void refuse_restarts(const std::string& why) const;
  std::vector<std::string> rank_arguments(bool resume) const;
  int start_ranks(const RunSettings& settings) const;
  int run_threads(const RunSettings& settings) const;
  int run_process(const LaunchPlace& place) const;
  Ending perform_rank(const RunSettings& settings, Transport& transport, std::shared_ptr<const Dataset> dataset,
                      Plans plans) const;
  void tell(const RunResult& result, int64_t steps_asked) const;

  std::string config_;
  std::vector<std::string> overrides_;
  std::optional<int64_t> until_;
  int64_t restarts_ = 0;
  bool json_ = false, overwrite_ = false, resume_ = false;
};

int exit_code_of(Ending ending) {
  return static_cast<int>(ending == Ending::stopped ? ExitCode::stopped : ExitCode::done);
}

std::string held_out_text(const RunResult& result) {
  std::ostringstream text;
  text << std::fixed;
  text.precision(3);
  const Scores& scores = result.validation_scores;
  text << "Held-out loss " << *result.validation_loss
       << (scores.contains("squared_error") ? " (squared error); guessing the mean gives "
           : scores.empty()                 ? " nats per target; the unigram baseline on the same targets is "
                                            : " nats per target; the frequencies of the classes alone give ")
       << *result.unigram_baseline << "\n";
  for (const auto& [name, value] : scores)
    text << (name == scores.begin()->first ? "Held out: " : ", ") << name << " " << value;
  if (!scores.empty()) text << "\n";
  return text.str();
}

// For people. `steps_asked`: the last step of the config.
std::string text_of(const RunResult& result, int64_t steps_asked) {
  std::ostringstream text;
  text << std::fixed;
  text.precision(3);
  if (result.steps == 0) text << "Wrote the start values\n";
  if (result.steps > 0 && result.performed <= 0)
    text << "Nothing was left to do: step " << result.steps << " is done\n";
  if (result.loss)
    text << "Trained " << result.performed << " steps in " << result.seconds << " s: loss " << *result.loss << ", "
         << static_cast<int64_t>(result.tokens_per_second) << " tokens/s, ranks idle " << 100 * result.idle_share
         << " % of the time\n";
  if (result.left_out > 0)
    text << "Steps left out, as a loss or a gradient was not finite: " << result.left_out << "\n";
  if (result.rewinds > 0) text << "Went back to a checkpoint " << result.rewinds << " times\n";
  if (result.links.slowed())
    text << "Links were slowed down: parallel.link_bandwidth = " << std::defaultfloat << result.links.bandwidth
         << ", parallel.link_latency = " << result.links.latency << std::fixed << "\n";
  if (result.ending != Ending::completed)
    text << "Stopped after step " << result.steps << " of " << steps_asked << (result.stopped() ? " as asked" : "")
         << "; --resume goes on from there\n";
  if (result.ended_early)
    text << "Ended after step " << result.steps << " of " << steps_asked << ": nothing got better in run.patience "
         << "evaluations\n";
  if (result.validation_loss) text << held_out_text(result);
  for (const auto& [name, value] : result.techniques)
    text << (name == result.techniques.begin()->first ? "Techniques: " : ", ") << name << " " << value;
  if (!result.techniques.empty()) text << "\n";
  if (result.best_step)
    text << "The weights are those of step " << *result.best_step
         << ", the best by run.keep_best: " << result.best_value << "\n";
  if (!result.stopped()) text << "Weights  " << weights_file(result.run) << "\n";
  if (result.performed > 0)
    text << "Metrics  " << result.run << "/metrics.jsonl (TensorBoard events beside it)\nTrace    " << result.run
         << "/trace.json (open in ui.perfetto.dev)\n";
  return text.str();
}

// Before any rank starts, or by every rank: what was started is not what the config asks for.
void check_processes(const RunSettings& settings, const LaunchPlace& place) {
  const int world = settings.parallel.processes();
  if (settings.parallel.transport == "loopback") {
    if (place.size == 1) return;
    throw Error(ExitCode::config,
                message("transport loopback runs all ranks in one process, but ", place.size, " were started"));
  }
  if (place.size == world) return;
  const std::string advice =
      place.slurm_step && place.size == 1
          ? message(
                "; start it with srun --kill-on-bad-exit=1 --mpi=pmix -n ", world,
                ", without srun inside salloc, or with parallel.transport=\"loopback\" for ranks as threads of this "
                "process")
          : message("; start it with -n ", world, ", or change parallel.ranks or parallel.replicas");
  throw Error(ExitCode::config,
              message("this run needs ", world, " processes (parallel.ranks ", settings.parallel.shape.ranks,
                      " x parallel.replicas ", settings.parallel.shape.replicas, "), but was started with ", place.size,
                      advice));
}

HangLimits hang_limits(const RunSettings& settings) {
  const MonitorSettings& monitor = settings.monitor;
  return {static_cast<double>(monitor.stall_seconds), static_cast<double>(monitor.startup_seconds),
          static_cast<double>(monitor.evaluation_seconds), static_cast<double>(monitor.checkpoint_seconds)};
}

// By a rank, for all: the launcher ends the others, stopped ones too, when one leaves like this.
void end_hung_run(const std::string& run_folder, const Verdict& verdict, const std::vector<WatchedRank>& ranks) {
  const std::string file = write_verdict(run_folder, verdict, ranks);
  EventLog(run_folder)
      .add({"hung", verdict.rank < 0 ? std::nullopt : std::make_optional(verdict.rank), verdict.step, verdict.reason});
  say_error(verdict.reason + "\n" + verdict.ranks + (file.empty() ? "" : "  All that the ranks told: " + file + "\n") +
            "  The run is ended; --resume goes on from its newest checkpoint");
  _exit(static_cast<int>(lost_rank));
}

// Where the launcher is not ours: from before the ranks meet, as one may be stopped before it does, until the process
// ends. What is wrong with the config is said by all ranks together, later.
void watch_as_rank(std::optional<RankWatch>& watch, const LaunchPlace& place,
                   const std::function<RunSettings()>& settings) {
  if (!RankWatch::is_for(place.rank, place.size)) return;
  try {
    const RunSettings read = settings();
    watch.emplace(read.folder, place.size, place.rank, hang_limits(read));
    watch->begin(
        [folder = read.folder](const auto& verdict, const auto& ranks) { end_hung_run(folder, verdict, ranks); });
  } catch (const std::exception&) {
    watch.reset();
  }
}

int Train::run() {
  const LaunchPlace place = launch_place();
  start_log(place.launched ? place.rank : -1);
  place.launched ? watch_for_stop_request() : end_on_stop_request();
  if (place.launched) refuse_restarts("here a launcher has started the ranks");
  if (place.size > 1) return run_process(place);
  const RunSettings settings = load();
  const bool alone = settings.parallel.processes() == 1, loopback = settings.parallel.transport == "loopback";
  // To be started again, a process needs another one above it.
  const bool in_this_process = place.launched || restarts_ == 0;
  if (loopback || (alone && settings.parallel.transport == "auto" && in_this_process)) {
    refuse_restarts("here they are threads of one process");
    return run_threads(settings);
  }
  if (!place.launched) return start_ranks(settings);
  check_processes(settings, place);
  return run_process(place);
}

// What can be refused is refused before any rank starts: the data, the folder (by the one that leads), the plans.
std::shared_ptr<const Dataset> Train::prepare(const RunSettings& settings, bool leads) const {
  const std::shared_ptr<Dataset> dataset = make_dataset(settings);
  if (leads) check_folders(settings, *dataset, perform_request());
  check_until(settings, perform_request());
  dataset->open();
  return dataset;
}

void Train::refuse_restarts(const std::string& why) const {
  if (restarts_ == 0) return;
  throw Error(ExitCode::config, message("--restarts ", restarts_,
                                        " needs ranks that `interlock train` starts as processes "
                                        "itself, but ",
                                        why,
                                        "; leave it out, or set parallel.transport=\"mpi\" and "
                                        "start the program alone"));
}

std::vector<std::string> Train::rank_arguments(bool resume) const {
  std::vector<std::string> words = {"train", config_};
  for (const std::string& one : overrides_) words.insert(words.end(), {"--set", one});
  if (json_) words.emplace_back("--json");
  if (resume)
    words.emplace_back("--resume");
  else if (overwrite_)
    words.emplace_back("--overwrite");
  if (until_) words.insert(words.end(), {"--until", std::to_string(*until_)});
  return words;
}

// The number in its name; 0: there is none.
int64_t newest_checkpoint_step(const std::string& run_folder) {
  const std::vector<std::string> newest_first = list_checkpoints(run_folder);
  if (newest_first.empty()) return 0;
  const std::string name = std::filesystem::path(newest_first.front()).filename();
  return std::strtoll(name.c_str() + name.rfind('-') + 1, nullptr, 10);
}

int Train::start_ranks(const RunSettings& settings) const {
  plans_of(settings, *prepare(settings, true));
  SupervisorRequest request;
  request.arguments = rank_arguments(resume_);
  request.monitor = {settings.folder, hang_limits(settings), settings.monitor.listen};
  request.executable = std::filesystem::read_symlink("/proc/self/exe").string();
  request.processes = settings.parallel.processes();
  request.threads_per_rank = settings.parallel.threads;
  request.stop_seconds = static_cast<int>(settings.checkpoint.stop_seconds);
  request.last_checkpoint = [folder = settings.folder] {
    const std::vector<std::string> newest_first = list_checkpoints(folder);
    return newest_first.empty() ? "" : newest_first.front();
  };
  const auto metrics = serve_metrics(settings.folder, settings.monitor.metrics);
  return supervise_with_restarts(request, {restarts_, rank_arguments(true),
                                           [folder = settings.folder] { return newest_checkpoint_step(folder); }});
}

int Train::run_threads(const RunSettings& settings) const {
  watch_for_stop_request();
  const auto dataset = prepare(settings, true);
  const Plans plans = plans_of(settings, *dataset);
  // Where nobody stands above the threads, one more looks at them, and tells of them.
  const bool supervised = std::getenv("INTERLOCK_SUPERVISED") != nullptr;
  const auto metrics = serve_metrics(settings.folder, supervised ? std::nullopt : settings.monitor.metrics);
  std::optional<RankWatch> watch;
  if (!supervised) {
    watch.emplace(settings.folder, settings.parallel.processes(), 0, hang_limits(settings));
    watch->begin([&](const auto& verdict, const auto& ranks) { end_hung_run(settings.folder, verdict, ranks); });
  }
  Ending ending = Ending::completed;
  run_loopback(settings.parallel.processes(), [&](Transport& transport) {
    const Ending mine = perform_rank(settings, transport, dataset, plans);
    if (transport.rank() == 0) ending = mine;
  });
  return exit_code_of(ending);
}

// Rank 0 shows what goes on and tells what came out.
Ending Train::perform_rank(const RunSettings& settings, Transport& transport, std::shared_ptr<const Dataset> dataset,
                           Plans plans) const {
  PerformRequest request = perform_request();
  request.plans = std::move(plans);
  if (transport.rank() != 0) return perform(settings, transport, dataset, request).ending;
  Progress progress("interlock", settings.steps);
  const auto show = [&](const StepMetrics& metrics) { progress.show(metrics); };
  EventLog log(settings.folder);
  const auto note = [&](const RunIncident& what) { log.add({what.event, what.rank, what.step, what.reason}); };
  const RunResult result = perform(settings, transport, dataset, request, {show, stop_requested, note});
  progress.finish();
  if (!log.empty()) std::cerr << "What happened to the run (" << EventLog::file_name << "):\n" << log.table();
  tell(result, settings.steps);
  return result.ending;
}

int Train::run_process(const LaunchPlace& place) const {
  std::optional<RunSettings> settings;
  std::shared_ptr<const Dataset> dataset;
  Plans plans;
  const bool supervised = std::getenv("INTERLOCK_SUPERVISED") != nullptr;
  std::optional<RankMonitors> monitors;
  std::optional<RankWatch> watch;  // until MPI has ended; behind the monitors: it asks them
  if (!supervised) watch_as_rank(watch, place, [&] { return read_settings(Config::from_file(config_, overrides_)); });
  const auto prepare_rank = [&](Transport&) {
    settings.emplace(load());
    check_processes(*settings, place);
    dataset = prepare(*settings, place.rank == 0);
    // Our own mpirun was started after this was looked at.
    if (!supervised) plans = plans_of(*settings, *dataset);
  };
  return run_together(place, prepare_rank, [&](Transport& transport) {
    if (supervised) dump_stack_on_request(settings->folder, place.rank);
    monitors.emplace(
        RankMonitors::Settings{settings->folder, settings->monitor.listen, settings->monitor.metrics, supervised},
        place, transport);
    if (watch) watch->also_hear([&] { return monitors->heard(); });
    return exit_code_of(perform_rank(*settings, transport, dataset, plans));
  });
}

void Train::tell(const RunResult& result, int64_t steps_asked) const {
  std::ostream& text = json_ ? std::cerr : std::cout;
  text << text_of(result, steps_asked) << std::flush;
  if (json_) std::cout << to_json(result) << std::endl;
}

const Registration<Command> registered("train", [] { return std::make_unique<Train>(); });

}  // namespace
}  // namespace interlock
