// `interlock train`: one run from a config. Alone it starts its own mpirun; under mpirun or srun it is one of the
// ranks.

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <sstream>

#include "launch/command.h"
#include "launch/folders/resume_command.h"
#include "launch/heartbeat/rank_monitors.h"
#include "launch/monitor/event_log.h"
#include "launch/monitor/rank_watch.h"
#include "launch/monitor/verdict_file.h"
#include "launch/run/checked_plans.h"
#include "launch/run/device_transport.h"
#include "launch/run/perform.h"
#include "launch/run/result_text.h"
#include "launch/run/together.h"
#include "launch/settings/parts.h"
#include "launch/settings/plans.h"
#include "launch/supervisor/handshake.h"
#include "launch/supervisor/restart.h"
#include "launch/supervisor/stop_request.h"
#include "launch/terminal/number_option.h"
#include "models/model.h"
#include "parallel/transport/launch_place.h"
#include "parallel/transport/loopback.h"
#include "parallel/transport/transport.h"
#include "runtime/core/log.h"
#include "runtime/core/lost.h"
#include "runtime/core/printable.h"
#include "runtime/observe/progress.h"
#include "runtime/observe/stack_dump.h"
#include "runtime/storage/checkpoint.h"

namespace interlock {
namespace {

using Plans = std::shared_ptr<const TrainerSettings::RulePlans>;

class Train final : public Command {
 public:
  std::string summary() const override { return "train a model as a config says"; }
  void declare(CLI::App& app) override {
    app.add_option("config", config_, "the run as a TOML file; with --resume also its folder")->required();
    app.add_option("--set", overrides_, "override a key: section.key=value")
        ->type_name("KEY=VALUE")
        ->allow_extra_args(false);
    app.add_flag("--json", json_, "end with one JSON object on stdout");
    auto* overwrite = app.add_flag("--overwrite", overwrite_, "replace the files of a run folder that exists");
    app.add_flag("--resume", resume_,
                 "go on from the newest whole checkpoint of the run folder; start when there are none at all")
        ->excludes(overwrite);
    app.add_option("--until", until_, "write a checkpoint after this step and stop there")
        ->transform(whole_number(1, int64_t{1} << 40));
    app.add_flag("--force", force_, "start even where the ranks will need more memory than there is here");
    app.add_option("--restarts", restarts_,
                   "start again from the newest checkpoint when a rank was lost or hangs, at most so many times")
        ->transform(whole_number(0, 1 << 20));
  }
  bool takes_stop_requests() const override { return true; }
  int run() override;

 private:
  void take_run_folder();
  RunSettings load() const {
    RunSettings settings = read_settings(Config::from_file(config_, overrides_));
    check_settings(settings);
    check_steps_of_changes(settings);
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
  bool json_ = false, overwrite_ = false, resume_ = false, force_ = false;
};

int exit_code_of(Ending ending) {
  if (ending == Ending::stopped && stop_requested_by() == SIGINT) return 128 + SIGINT;
  return static_cast<int>(ending == Ending::stopped ? ExitCode::stopped : ExitCode::done);
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
  const std::string needs =
      message("this run needs ", world, " processes (parallel.ranks ", settings.parallel.shape.ranks,
              " x parallel.replicas ", settings.parallel.shape.replicas, "), but ");
  // One process of a launcher whose ranks do not find each other: more of them are no advice.
  if (!place.no_mpi.empty() && !place.slurm_step)
    throw Error(ExitCode::config, message(needs, "one process was ", place.no_mpi));
  const std::string advice =
      place.slurm_step && place.size == 1
          ? message(
                "; start it with srun --kill-on-bad-exit=1 --mpi=pmix -n ", world,
                ", without srun inside salloc, or with parallel.transport=\"loopback\" for ranks as threads of this "
                "process")
          : message("; start it with ",
                    place.slurm_step ? message("as many tasks (sbatch --ntasks=", world,
                                               ", srun --kill-on-bad-exit=1 --mpi=pmix -n ", world, ")")
                                     : message("mpirun -n ", world),
                    ", or change parallel.ranks or parallel.replicas");
  throw Error(ExitCode::config, message(needs, "was started with ", place.size, advice));
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
  const std::string stack = verdict.rank < 0 ? "" : read_stack(run_folder, verdict.rank);
  say_error(verdict.reason + "\n" + verdict.ranks +
            (stack.empty() ? "" : message("  rank ", verdict.rank, " stands in:\n", stack)) +
            (file.empty() ? "" : "  All that the ranks told: " + file + "\n") +
            "  The run is ended; go on from its newest checkpoint with: " + resume_command(run_folder));
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

// The folder of a run goes for its config: what it was resolved to, in that folder wherever it lies by now.
void Train::take_run_folder() {
  namespace fs = std::filesystem;
  std::error_code problem;
  if (!fs::is_directory(config_, problem)) return;
  const std::string folder = config_, own = (fs::path(folder) / "config.toml").string();
  if (!fs::is_regular_file(own, problem))
    throw Error(ExitCode::config,
                message(folder, ": is a folder, and holds no config.toml of a run; name a TOML file"));
  // An import leaves a config beside its weights, too.
  const bool ran = fs::exists(fs::path(folder) / "manifest.json", problem) || !list_checkpoints(folder).empty();
  if (!ran) throw Error(ExitCode::config, message(folder, ": holds a config, and no run has begun in it; name ", own));
  if (!resume_)
    throw Error(ExitCode::config, message(folder, ": is the folder of a run; go on with: ", resume_command(folder)));
  config_ = own;
  const std::string written = Config::from_file(own).section("run").text("folder", "");
  if (fs::equivalent(written, folder, problem)) return;
  overrides_.insert(overrides_.begin(), "run.folder=" + toml_quoted(folder, "the name of the run folder"));
}

int Train::run() {
  const LaunchPlace place = launch_place();
  start_log(place.launched ? place.rank : -1);
  take_run_folder();
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
  if (force_) words.emplace_back("--force");
  return words;
}

// For words to people while a run is watched: "" when there is none, or none can be seen.
std::string newest_checkpoint(const std::string& run_folder) {
  try {
    const std::vector<std::string> newest_first = list_checkpoints(run_folder);
    return newest_first.empty() ? "" : newest_first.front();
  } catch (const Error&) {
    return "";
  }
}

// The number in its name; 0: there is none.
int64_t newest_checkpoint_step(const std::string& run_folder) {
  const std::string newest = newest_checkpoint(run_folder);
  if (newest.empty()) return 0;
  const std::string name = std::filesystem::path(newest).filename();
  return std::strtoll(name.c_str() + name.rfind('-') + 1, nullptr, 10);
}

int Train::start_ranks(const RunSettings& settings) const {
  refuse_second_launch();
  checked_plans(settings, *prepare(settings, true), ranks_to_start(settings), force_);
  SupervisorRequest request;
  request.arguments = rank_arguments(resume_);
  request.monitor = {settings.folder, hang_limits(settings), settings.monitor.listen};
  request.executable = std::filesystem::read_symlink("/proc/self/exe").string();
  request.processes = settings.parallel.processes();
  request.threads_per_rank = settings.parallel.threads;
  request.stop_seconds = static_cast<int>(settings.checkpoint.stop_seconds);
  request.last_checkpoint = [folder = settings.folder] { return newest_checkpoint(folder); };
  const auto metrics = serve_metrics(settings.folder, settings.monitor.metrics);
  return supervise_with_restarts(request, {restarts_, rank_arguments(true),
                                           [folder = settings.folder] { return newest_checkpoint_step(folder); }});
}

int Train::run_threads(const RunSettings& settings) const {
  watch_for_stop_request();
  const auto dataset = prepare(settings, true);
  const Plans plans = checked_plans(settings, *dataset, LocalRanks{0, settings.parallel.processes(), true}, force_);
  // Where nobody stands above the threads, one more looks at them, and tells of them.
  const bool supervised = is_supervised();
  if (supervised) say_that_ranks_are_up();
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
  Progress progress("interlock", settings.steps, 10.0, dataset->unit());
  const auto show = [&](const StepMetrics& metrics) { progress.show(metrics); };
  EventLog log(settings.folder);
  const auto note = [&](const RunIncident& what) { log.add({what.event, what.rank, what.step, what.reason}); };
  const auto tell_events = [&] {
    if (!log.empty()) std::cerr << "What happened to the run (" << EventLog::file_name << "):\n" << log.table();
  };
  const RunResult result = [&] {
    try {
      return perform(settings, transport, dataset, request, {show, stop_requested, note});
    } catch (...) {
      tell_events();
      throw;
    }
  }();
  progress.finish();
  tell_events();
  tell(result, settings.steps);
  if (!result.not_kept.empty()) throw Error(ExitCode::cannot_write, not_kept_text(result));
  return result.ending;
}

int Train::run_process(const LaunchPlace& place) const {
  std::optional<RunSettings> settings;
  std::shared_ptr<const Dataset> dataset;
  Plans plans;
  const bool supervised = is_supervised();
  std::optional<RankMonitors> monitors;
  std::optional<RankWatch> watch;  // until MPI has ended; behind the monitors: it asks them
  if (!supervised) watch_as_rank(watch, place, [&] { return read_settings(Config::from_file(config_, overrides_)); });
  const auto prepare_rank = [&](Transport&) {
    settings.emplace(load());
    const ConfigValues values = settings->config.resolved_values();
    check_processes(*settings, place);
    dataset = prepare(*settings, place.rank == 0);
    // Our own mpirun was started after this was looked at.
    if (!supervised || place.local_size < place.size || !ranks_to_start(*settings))
      plans = checked_plans(*settings, *dataset, ranks_beside(place), force_);
    return values;
  };
  return run_together(place, prepare_rank, [&](Transport& transport) {
    if (supervised && place.rank == 0) say_that_ranks_are_up();
    dump_stack_on_request(settings->folder, place.rank);
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
