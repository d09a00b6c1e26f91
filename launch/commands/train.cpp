// `interlock train`: one run from a config. Alone it starts its own mpirun; under mpirun or srun it is one of the
// ranks.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <thread>

#include "launch/command.h"
#include "launch/run/estimate.h"
#include "launch/run/resume.h"
#include "launch/run/run_folder.h"
#include "launch/supervisor/stop_request.h"
#include "launch/supervisor/supervisor.h"
#include "parallel/transport/loopback.h"
#include "parallel/transport/mpi.h"
#include "runtime/core/log.h"
#include "runtime/observe/progress.h"
#include "runtime/storage/weights.h"
#include "runtime/storage/weights_set.h"

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
  int run() override;

 private:
  RunSettings load() const {
    RunSettings settings = read_settings(Config::from_file(config_, overrides_));
    check_settings(settings);
    return settings;
  }
  FolderUse folder_use() const {
    return resume_ ? FolderUse::resume : overwrite_ ? FolderUse::overwrite : FolderUse::fresh;
  }
  void check_folders(const RunSettings& settings) const;
  void check_until(const RunSettings& settings) const;
  int start_ranks(const RunSettings& settings) const;
  int run_threads(const RunSettings& settings, std::shared_ptr<const Dataset> dataset) const;
  int run_process(const RunSettings& settings, std::shared_ptr<const Dataset> dataset, const LaunchPlace& place) const;
  Ending perform(const RunSettings& settings, Transport& transport, std::shared_ptr<const Dataset> dataset) const;
  Ending lead(const RunSettings& settings, Transport& transport, std::shared_ptr<const Dataset> dataset) const;
  void tell(const RunSettings& settings, const RunSummary& summary, const Dataset& dataset) const;

  std::string config_;
  std::vector<std::string> overrides_;
  std::optional<int64_t> until_;
  bool json_ = false, overwrite_ = false, resume_ = false;
};

int exit_code_of(Ending ending) {
  return static_cast<int>(ending == Ending::stopped ? ExitCode::stopped : ExitCode::done);
}

// A full disk costs lines of metrics, not the run.
void record(RunFolder& folder, const StepMetrics& metrics) {
  try {
    folder.metrics().write(metrics);
  } catch (const Error& error) {
    static std::atomic<bool> told{false};
    if (!told.exchange(true)) log_warning(message("metrics are lost from step ", metrics.step, " on: ", error.what()));
  }
}

std::string weights_file(const RunSettings& settings) {
  return (std::filesystem::path(settings.folder) / "weights.safetensors").string();
}

int Train::run() {
  const LaunchPlace place = launch_place();
  start_log(place.launched ? place.rank : -1);
  place.launched ? watch_for_stop_request() : end_on_stop_request();
  try {
    const RunSettings settings = load();
    const int world = settings.shape.ranks * settings.shape.replicas;
    const bool threads =
        settings.transport == "loopback" || (!place.launched && world == 1 && settings.transport == "auto");
    if (place.launched && !threads && place.size != world)
      throw Error(ExitCode::config,
                  message("this run needs ", world, " processes (parallel.ranks ", settings.shape.ranks,
                          " x parallel.replicas ", settings.shape.replicas, "), but was started with ", place.size,
                          "; start it with -n ", world, ", or change parallel.ranks or parallel.replicas"));
    if (place.launched && threads && place.size != 1)
      throw Error(ExitCode::config,
                  message("transport loopback runs all ranks in one process, but ", place.size, " were started"));
    // What can be refused is refused before any rank starts: the data, the folder, the plans.
    const bool starts_ranks = !place.launched && !threads;
    if (threads) watch_for_stop_request();
    if (place.rank == 0) check_folders(settings);
    check_until(settings);
    if (starts_ranks) {
      make_dataset(settings)->open();
      make_plans(settings);
      return start_ranks(settings);
    }
    std::shared_ptr<Dataset> dataset = make_dataset(settings);
    dataset->open();
    return threads ? run_threads(settings, dataset) : run_process(settings, dataset, place);
  } catch (const Error& error) {
    if (place.rank == 0) throw;
    // Mostly all ranks find the same mistake and rank 0 has said it: then the launcher ends us within this time (one
    // second was not always enough for it).
    std::this_thread::sleep_for(std::chrono::seconds(5));
    throw Error(error.code(), message("rank ", place.rank, ": ", error.what()));
  }
}

// Whatever a run starts from must not be among the files that --overwrite removes.
void refuse_inside(const std::string& folder, const std::string& key, const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code absent;
  const fs::path outer = fs::weakly_canonical(folder, absent), inner = fs::weakly_canonical(path, absent);
  if (std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end()).first != outer.end()) return;
  throw Error(ExitCode::config, message(key, " = ", path,
                                        " lies in run.folder, whose files --overwrite replaces; choose another "
                                        "run.folder"));
}

void Train::check_folders(const RunSettings& settings) const {
  RunFolder::check(settings.folder, folder_use());
  if (resume_) return;
  if (const Section tokenizer = settings.config.section("tokenizer"); tokenizer.has("path"))
    refuse_inside(settings.folder, "tokenizer.path", tokenizer.text("path", ""));
  if (settings.weights.empty()) return;
  refuse_inside(settings.folder, "run.weights", settings.weights);
  check_start_tokenizer(settings, *WeightsSet::open(settings.weights));
}

void Train::check_until(const RunSettings& settings) const {
  if (until_ && *until_ > settings.steps)
    throw Error(ExitCode::config,
                message("--until ", *until_, " lies behind the last step, run.steps = ", settings.steps));
}

int Train::start_ranks(const RunSettings& settings) const {
  SupervisorRequest request;
  request.arguments = {"train", config_};
  for (const std::string& one : overrides_) request.arguments.insert(request.arguments.end(), {"--set", one});
  if (json_) request.arguments.emplace_back("--json");
  if (overwrite_) request.arguments.emplace_back("--overwrite");
  if (resume_) request.arguments.emplace_back("--resume");
  if (until_) request.arguments.insert(request.arguments.end(), {"--until", std::to_string(*until_)});
  request.executable = std::filesystem::read_symlink("/proc/self/exe").string();
  request.processes = settings.shape.ranks * settings.shape.replicas;
  request.threads_per_rank = settings.threads;
  request.stop_seconds = static_cast<int>(settings.stop_seconds);
  return supervise(request);
}

int Train::run_threads(const RunSettings& settings, std::shared_ptr<const Dataset> dataset) const {
  Ending ending = Ending::completed;
  run_loopback(settings.shape.ranks * settings.shape.replicas, [&](Transport& transport) {
    const Ending mine = perform(settings, transport, dataset);
    if (transport.rank() == 0) ending = mine;
  });
  return exit_code_of(ending);
}

Ending Train::perform(const RunSettings& settings, Transport& transport, std::shared_ptr<const Dataset> dataset) const {
  if (transport.rank() == 0) return lead(settings, transport, dataset);
  return run_rank(settings, transport, dataset, {weights_file(settings), {}, {}}, {"", until_}).ending;
}

int Train::run_process(const RunSettings& settings, std::shared_ptr<const Dataset> dataset,
                       const LaunchPlace& place) const {
  const auto transport = make_mpi();
  try {
    return exit_code_of(perform(settings, *transport, dataset));
  } catch (const Error& error) {
    say_error(message("rank ", place.rank, ": ", error.what()));
    transport->abort(static_cast<int>(error.code()), error.what());
    return static_cast<int>(error.code());
  } catch (const std::exception& problem) {
    say_error(message("rank ", place.rank, ": ", problem.what()));
    transport->abort(static_cast<int>(ExitCode::gave_up), problem.what());
    return static_cast<int>(ExitCode::gave_up);
  }
}

// Rows that no token stands for cost memory and time, and mostly come from a tokenizer that turned out smaller than
// asked.
void tell_unused_rows(const RunSettings& settings, const Dataset& dataset) {
  const auto values = settings.config.resolved_values();
  const auto rows = values.find("model.vocabulary");
  if (rows == values.end() || dataset.classes() == 0) return;
  const int64_t unused = std::stoll(rows->second) - dataset.classes();
  if (unused > 0)
    log_warning(message("model.vocabulary = ", rows->second, ", but the tokenizer has ", dataset.classes(),
                        " tokens: ", unused, " rows of the model stand for none"));
}

// Before anything in the folder changes: a config that is refused leaves it as it is.
int64_t steps_done(const RunSettings& settings, const Dataset& dataset, const std::string& checkpoint) {
  const auto opened = Checkpoint::open(checkpoint);
  const std::vector<std::string> changed = check_changes(settings, dataset, *opened);
  log_info("going on from " + checkpoint);
  if (!changed.empty()) log_info("changed since the checkpoint: " + join(changed));
  return opened->manifest().step;
}

Ending Train::lead(const RunSettings& settings, Transport& transport, std::shared_ptr<const Dataset> dataset) const {
  RunFolder folder(settings.folder, folder_use());
  const std::string checkpoint = resume_ ? find_checkpoint(settings.folder) : "";
  const int64_t done = checkpoint.empty() ? 0 : steps_done(settings, *dataset, checkpoint);
  if (resume_ && checkpoint.empty()) log_info("no checkpoint in " + settings.folder + ": starting from the beginning");
  if (until_ && *until_ <= done)
    throw Error(ExitCode::config, message("--until ", *until_, ", but ", checkpoint, " is beyond that step already"));
  tell_unused_rows(settings, *dataset);
  folder.write_start(settings, transport.description(), done);
  Progress progress("interlock", settings.steps);
  const TrainerOutlets outlets{weights_file(settings),
                               [&](const StepMetrics& metrics) {
                                 record(folder, metrics);
                                 progress.show(metrics);
                               },
                               stop_requested};
  RunSummary summary = run_rank(settings, transport, dataset, outlets, {checkpoint, until_});
  progress.finish();
  const auto model = make_model(settings, *dataset);
  const auto plans = make_plans(settings);
  const SimulationCosts estimate =
      estimate_costs(settings, *model, make_partition(settings, *model), plans.front().plan.flows);
  folder.write_end(settings, summary, measured_costs(summary, estimate, plans));
  tell(settings, summary, *dataset);
  return summary.ending;
}

void Train::tell(const RunSettings& settings, const RunSummary& summary, const Dataset& dataset) const {
  using nlohmann::json;
  // A run that was asked to stop leaves a checkpoint and no weights file of that step.
  const bool stopped = summary.ending == Ending::stopped;
  const std::string digest = stopped ? "" : weights_digest(*SafetensorsFile::open(weights_file(settings)));
  std::vector<uint64_t> forward(std::max(0, settings.shape.stages - 1)), backward(forward.size());
  uint64_t messages = 0, bytes = 0;
  json rss = json::array();
  double checkpoint_seconds = 0, loader_seconds = 0;
  for (const RankSummary& rank : summary.ranks) {
    for (size_t k = 0; k < forward.size(); ++k) {
      forward[k] += rank.counters.forward[k];
      backward[k] += rank.counters.backward[k];
    }
    messages += rank.counters.messages;
    bytes += rank.counters.bytes;
    rss.push_back(rank.peak_rss_mib);
    checkpoint_seconds = std::max(checkpoint_seconds, rank.checkpoint_seconds);
    loader_seconds = std::max(loader_seconds, rank.loader_seconds);
  }
  const bool evaluated = summary.validation_loss.has_value();
  const double baseline = evaluated ? dataset.unigram_baseline(settings.evaluate_sequences) : 0.0;
  std::ostringstream text;
  text << std::fixed;
  text.precision(3);
  const int64_t steps = summary.steps - summary.first_step + 1;  // performed here
  if (summary.steps == 0) text << "Wrote the start values\n";
  if (summary.steps > 0 && steps <= 0) text << "Nothing was left to do: step " << summary.steps << " is done\n";
  if (steps > 0)
    text << "Trained " << steps << " steps in " << summary.seconds << " s: loss " << summary.loss << ", "
         << static_cast<int64_t>(summary.tokens_per_second) << " tokens/s, ranks idle " << 100 * summary.idle_share
         << " % of the time\n";
  if (summary.ending != Ending::completed)
    text << "Stopped after step " << summary.steps << " of " << settings.steps << (stopped ? " as asked" : "")
         << "; --resume goes on from there\n";
  if (evaluated)
    text << "Held-out loss " << *summary.validation_loss
         << " nats per target; the unigram baseline on the same targets is " << baseline << "\n";
  if (!stopped) text << "Weights  " << weights_file(settings) << "\n";
  if (steps > 0)
    text << "Metrics  " << settings.folder << "/metrics.jsonl (TensorBoard events beside it)\nTrace    "
         << settings.folder << "/trace.json (open in ui.perfetto.dev)\n";
  if (!json_) {
    std::cout << text.str() << std::flush;
    return;
  }
  std::cerr << text.str();
  json boundaries = json::array();
  for (size_t k = 0; k < forward.size(); ++k)
    boundaries.push_back({{"forward", forward[k]}, {"backward", backward[k]}});
  const json result = {{"run", settings.folder},
                       {"steps", summary.steps},
                       {"stopped", stopped},
                       {"loss", steps > 0 ? json(summary.loss) : json()},
                       {"validation_loss", evaluated ? json(*summary.validation_loss) : json()},
                       {"unigram_baseline", evaluated ? json(baseline) : json()},
                       {"tokens_per_second", summary.tokens_per_second},
                       {"idle_share", summary.idle_share},
                       {"seconds", summary.seconds},
                       {"peak_rss_mib", rss},
                       {"messages", messages},
                       {"messages_per_boundary", boundaries},
                       {"bytes_sent", bytes},
                       {"checkpoint_seconds", checkpoint_seconds},
                       {"loader_seconds", loader_seconds},
                       {"digest", stopped ? json() : json(digest)}};
  std::cout << result.dump() << std::endl;
}

const Registration<Command> registered("train", [] { return std::make_unique<Train>(); });

}  // namespace
}  // namespace interlock
