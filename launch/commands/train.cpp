// `interlock train`: one run from a config. Alone it starts its own mpirun; under mpirun or srun it is one of the
// ranks.

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <sstream>

#include "launch/command.h"
#include "launch/forecast/run_plans.h"
#include "launch/run/device_transport.h"
#include "launch/run/perform.h"
#include "launch/run/together.h"
#include "launch/settings/parts.h"
#include "launch/supervisor/stop_request.h"
#include "launch/supervisor/supervisor.h"
#include "models/model.h"
#include "parallel/transport/launch_place.h"
#include "parallel/transport/loopback.h"
#include "parallel/transport/transport.h"
#include "runtime/core/log.h"
#include "runtime/observe/progress.h"
#include "runtime/storage/checkpoint.h"

namespace interlock {
namespace {

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
  int start_ranks(const RunSettings& settings) const;
  int run_threads(const RunSettings& settings) const;
  int run_process(const LaunchPlace& place) const;
  Ending perform_rank(const RunSettings& settings, Transport& transport, std::shared_ptr<const Dataset> dataset) const;
  void tell(const RunResult& result, int64_t steps_asked) const;

  std::string config_;
  std::vector<std::string> overrides_;
  std::optional<int64_t> until_;
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
                "; start it with srun --mpi=pmix -n ", world,
                ", without srun inside salloc, or with parallel.transport=\"loopback\" for ranks as threads of this "
                "process")
          : message("; start it with -n ", world, ", or change parallel.ranks or parallel.replicas");
  throw Error(ExitCode::config,
              message("this run needs ", world, " processes (parallel.ranks ", settings.parallel.shape.ranks,
                      " x parallel.replicas ", settings.parallel.shape.replicas, "), but was started with ", place.size,
                      advice));
}

int Train::run() {
  const LaunchPlace place = launch_place();
  start_log(place.launched ? place.rank : -1);
  place.launched ? watch_for_stop_request() : end_on_stop_request();
  if (place.size > 1) return run_process(place);
  const RunSettings settings = load();
  const bool alone = settings.parallel.processes() == 1, loopback = settings.parallel.transport == "loopback";
  if (loopback || (alone && settings.parallel.transport == "auto")) return run_threads(settings);
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

int Train::start_ranks(const RunSettings& settings) const {
  make_plans(settings, *make_model(settings, *prepare(settings, true)));
  SupervisorRequest request;
  request.arguments = {"train", config_};
  for (const std::string& one : overrides_) request.arguments.insert(request.arguments.end(), {"--set", one});
  if (json_) request.arguments.emplace_back("--json");
  if (overwrite_) request.arguments.emplace_back("--overwrite");
  if (resume_) request.arguments.emplace_back("--resume");
  if (until_) request.arguments.insert(request.arguments.end(), {"--until", std::to_string(*until_)});
  request.executable = std::filesystem::read_symlink("/proc/self/exe").string();
  request.processes = settings.parallel.processes();
  request.threads_per_rank = settings.parallel.threads;
  request.stop_seconds = static_cast<int>(settings.checkpoint.stop_seconds);
  request.last_checkpoint = [folder = settings.folder] {
    const std::vector<std::string> newest_first = list_checkpoints(folder);
    return newest_first.empty() ? "" : newest_first.front();
  };
  return supervise(request);
}

int Train::run_threads(const RunSettings& settings) const {
  watch_for_stop_request();
  const auto dataset = prepare(settings, true);
  Ending ending = Ending::completed;
  run_loopback(settings.parallel.processes(), [&](Transport& transport) {
    const Ending mine = perform_rank(settings, transport, dataset);
    if (transport.rank() == 0) ending = mine;
  });
  return exit_code_of(ending);
}

// Rank 0 shows what goes on and tells what came out.
Ending Train::perform_rank(const RunSettings& settings, Transport& transport,
                           std::shared_ptr<const Dataset> dataset) const {
  if (transport.rank() != 0) return perform(settings, transport, dataset, perform_request()).ending;
  Progress progress("interlock", settings.steps);
  const auto show = [&](const StepMetrics& metrics) { progress.show(metrics); };
  const RunResult result = perform(settings, transport, dataset, perform_request(), {show, stop_requested});
  progress.finish();
  tell(result, settings.steps);
  return result.ending;
}

int Train::run_process(const LaunchPlace& place) const {
  std::optional<RunSettings> settings;
  std::shared_ptr<const Dataset> dataset;
  const auto prepare_rank = [&](Transport&) {
    settings.emplace(load());
    check_processes(*settings, place);
    dataset = prepare(*settings, place.rank == 0);
    // Our own mpirun was started after this was looked at.
    if (!std::getenv("INTERLOCK_SUPERVISED")) make_plans(*settings, *make_model(*settings, *dataset));
  };
  return run_together(place, prepare_rank,
                      [&](Transport& transport) { return exit_code_of(perform_rank(*settings, transport, dataset)); });
}

void Train::tell(const RunResult& result, int64_t steps_asked) const {
  std::ostream& text = json_ ? std::cerr : std::cout;
  text << text_of(result, steps_asked) << std::flush;
  if (json_) std::cout << to_json(result) << std::endl;
}

const Registration<Command> registered("train", [] { return std::make_unique<Train>(); });

}  // namespace
}  // namespace interlock
