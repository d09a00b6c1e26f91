// `interlock train`: one run from a config. Alone it starts its own mpirun; under mpirun or srun it is one of the
// ranks.

#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <thread>

#include "launch/command.h"
#include "launch/run_folder.h"
#include "launch/supervisor.h"
#include "parallel/transport/loopback.h"
#include "parallel/transport/mpi.h"
#include "runtime/core/log.h"
#include "runtime/observe/progress.h"
#include "runtime/storage/weights.h"

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
    app.add_flag("--overwrite", overwrite_, "replace the files of a run folder that exists");
  }
  int run() override;

 private:
  RunSettings load() const {
    RunSettings settings = read_settings(Config::from_file(config_, overrides_));
    check_settings(settings);
    return settings;
  }
  void check_folders(const RunSettings& settings) const;
  int start_ranks(const RunSettings& settings) const;
  int run_threads(const RunSettings& settings, std::shared_ptr<const Dataset> dataset) const;
  int run_process(const RunSettings& settings, std::shared_ptr<const Dataset> dataset, const LaunchPlace& place) const;
  RunSummary lead(const RunSettings& settings, Transport& transport, std::shared_ptr<const Dataset> dataset) const;
  void tell(const RunSettings& settings, const RunSummary& summary, const Dataset& dataset) const;

  std::string config_;
  std::vector<std::string> overrides_;
  bool json_ = false, overwrite_ = false;
};

std::string weights_file(const RunSettings& settings) {
  return (std::filesystem::path(settings.folder) / "weights.safetensors").string();
}

int Train::run() {
  const LaunchPlace place = launch_place();
  start_log(place.launched ? place.rank : -1);
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
    if (place.rank == 0) check_folders(settings);
    if (!place.launched && !threads) {
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

void Train::check_folders(const RunSettings& settings) const {
  RunFolder::check(settings.folder, overwrite_);
  if (settings.weights.empty()) return;
  const std::string start = weights_path(settings.weights);
  SafetensorsFile::open(start);
  std::error_code absent;
  if (std::filesystem::equivalent(start, weights_file(settings), absent))
    throw Error(ExitCode::config, message("run.weights = ", start,
                                          " lies in run.folder, whose files --overwrite replaces; choose "
                                          "another run.folder"));
}

int Train::start_ranks(const RunSettings& settings) const {
  SupervisorRequest request;
  request.arguments = {"train", config_};
  for (const std::string& one : overrides_) request.arguments.insert(request.arguments.end(), {"--set", one});
  if (json_) request.arguments.emplace_back("--json");
  if (overwrite_) request.arguments.emplace_back("--overwrite");
  request.executable = std::filesystem::read_symlink("/proc/self/exe").string();
  request.processes = settings.shape.ranks * settings.shape.replicas;
  request.threads_per_rank = settings.threads;
  return supervise(request);
}

int Train::run_threads(const RunSettings& settings, std::shared_ptr<const Dataset> dataset) const {
  run_loopback(settings.shape.ranks * settings.shape.replicas, [&](Transport& transport) {
    if (transport.rank() == 0) {
      lead(settings, transport, dataset);
    } else {
      run_rank(settings, transport, dataset, {weights_file(settings), {}});
    }
  });
  return 0;
}

int Train::run_process(const RunSettings& settings, std::shared_ptr<const Dataset> dataset,
                       const LaunchPlace& place) const {
  const auto transport = make_mpi();
  try {
    if (place.rank == 0) {
      lead(settings, *transport, dataset);
    } else {
      run_rank(settings, *transport, dataset, {weights_file(settings), {}});
    }
  } catch (const Error& error) {
    say_error(message("rank ", place.rank, ": ", error.what()));
    transport->abort(static_cast<int>(error.code()), error.what());
    return static_cast<int>(error.code());
  } catch (const std::exception& problem) {
    say_error(message("rank ", place.rank, ": ", problem.what()));
    transport->abort(static_cast<int>(ExitCode::gave_up), problem.what());
    return static_cast<int>(ExitCode::gave_up);
  }
  return 0;
}

RunSummary Train::lead(const RunSettings& settings, Transport& transport,
                       std::shared_ptr<const Dataset> dataset) const {
  RunFolder folder(settings.folder, overwrite_);
  folder.write_start(settings, transport.description());
  Progress progress("interlock", settings.steps);
  const TrainerOutlets outlets{weights_file(settings), [&](const StepMetrics& metrics) {
                                 folder.metrics().write(metrics);
                                 progress.show(metrics);
                               }};
  RunSummary summary = run_rank(settings, transport, dataset, outlets);
  progress.finish();
  const auto model = make_model(settings, *dataset);
  folder.write_end(settings, summary,
                   measured_costs(summary, estimate_costs(settings, *model, make_partition(settings, *model))));
  tell(settings, summary, *dataset);
  return summary;
}

void Train::tell(const RunSettings& settings, const RunSummary& summary, const Dataset& dataset) const {
  using nlohmann::json;
  const std::string digest = weights_digest(*SafetensorsFile::open(weights_file(settings)));
  std::vector<uint64_t> forward(std::max(0, settings.shape.stages - 1)), backward(forward.size());
  uint64_t messages = 0, bytes = 0;
  json rss = json::array();
  for (const RankSummary& rank : summary.ranks) {
    for (size_t k = 0; k < forward.size(); ++k) {
      forward[k] += rank.counters.forward[k];
      backward[k] += rank.counters.backward[k];
    }
    messages += rank.counters.messages;
    bytes += rank.counters.bytes;
    rss.push_back(rank.peak_rss_mib);
  }
  const bool evaluated = summary.validation_loss.has_value();
  const double baseline = evaluated ? dataset.unigram_baseline(settings.evaluate_sequences) : 0.0;
  std::ostringstream text;
  text << std::fixed;
  text.precision(3);
  if (summary.steps == 0) text << "Wrote the start values\n";
  if (summary.steps > 0)
    text << "Trained " << summary.steps << " steps in " << summary.seconds << " s: loss " << summary.loss << ", "
         << static_cast<int64_t>(summary.tokens_per_second) << " tokens/s, ranks idle " << 100 * summary.idle_share
         << " % of the time\n";
  if (evaluated)
    text << "Held-out loss " << *summary.validation_loss
         << " nats per target; the unigram baseline on the same targets is " << baseline << "\n";
  text << "Weights  " << weights_file(settings) << "\nMetrics  " << settings.folder
       << "/metrics.jsonl (TensorBoard events beside it)\nTrace    " << settings.folder
       << "/trace.json (open in ui.perfetto.dev)\n";
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
                       {"loss", summary.steps > 0 ? json(summary.loss) : json()},
                       {"validation_loss", evaluated ? json(*summary.validation_loss) : json()},
                       {"unigram_baseline", evaluated ? json(baseline) : json()},
                       {"tokens_per_second", summary.tokens_per_second},
                       {"idle_share", summary.idle_share},
                       {"seconds", summary.seconds},
                       {"peak_rss_mib", rss},
                       {"messages", messages},
                       {"messages_per_boundary", boundaries},
                       {"bytes_sent", bytes},
                       {"digest", digest}};
  std::cout << result.dump() << std::endl;
}

const Registration<Command> registered("train", [] { return std::make_unique<Train>(); });

}  // namespace
}  // namespace interlock
