// bench_encoder: tokens per second, peak memory and idle share of the engine on a RoBERTa encoder (or GPT-2) with Adam,
// by default in float32 on the CPU, without dropout, and with a full-vocabulary loss on every position. Starts its own
// ranks.
//
// Utilisation is of --peak (TFLOP/s), with the model FLOPs of a token of tests/bench/gpu_peer.py: 6 x layers x
// (4 width^2 + 2 width x feed_forward) + 12 x layers x width x length + 6 x predicted x (width^2 + width x vocabulary);
// GPT-2 has no width^2 in its readout.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "launch/forecast/estimate.h"
#include "launch/forecast/measured_costs.h"
#include "launch/forecast/run_plans.h"
#include "launch/run/run.h"
#include "launch/settings/parts.h"
#include "launch/supervisor/supervisor.h"
#include "models/model.h"
#include "parallel/transport/loopback.h"
#include "parallel/transport/mpi.h"
#include "runtime/core/log.h"
#include "runtime/device/device.h"
#include "tests/bench/operation_times.h"

namespace interlock {
namespace {

using nlohmann::json;

struct Options {
  int stages = 2, ranks = 0, horizon = 2, microbatches = 8, microbatch = 4, threads = 1, steps = 8, warmup = 2;
  int layers = 8, width = 256, heads = 4, feed_forward = 1024, vocabulary = 8192, length = 128;
  std::string rule = "global", schedule = "auto", placement = "contiguous", unit = "block", cut, head = "linear";
  std::string model = "roberta", device = "cpu", precision = "float32", recompute = "none";
  double dropout = 0, predicted = 1, peak = 989;
  bool tied = false, profile = false, json = false;

  // The first steps of a profile are slowed by it and timed no more.
  int all_steps() const { return warmup + steps + (profile ? 3 : 0); }
};

void declare(CLI::App& app, Options& options) {
  const auto number = [&](const char* name, int& value) {
    app.add_option(name, value)->capture_default_str()->check(CLI::PositiveNumber);
  };
  number("--stages", options.stages);
  app.add_option("--ranks", options.ranks, "default: stages");
  number("--horizon", options.horizon);
  number("--microbatches", options.microbatches);
  number("--microbatch", options.microbatch);
  number("--threads", options.threads);
  number("--steps", options.steps);
  app.add_option("--warmup", options.warmup)->capture_default_str()->check(CLI::NonNegativeNumber);
  number("--layers", options.layers);
  number("--width", options.width);
  number("--heads", options.heads);
  number("--feed-forward", options.feed_forward);
  number("--vocabulary", options.vocabulary);
  number("--length", options.length);
  app.add_option("--model", options.model, "roberta or gpt")->capture_default_str();
  app.add_option("--rule", options.rule)->capture_default_str();
  app.add_option("--schedule", options.schedule)->capture_default_str();
  app.add_option("--placement", options.placement)->capture_default_str();
  app.add_option("--head", options.head)->capture_default_str();
  app.add_option("--unit", options.unit)->capture_default_str();
  app.add_option("--cut", options.cut, "units per stage, for example 5,3; or balanced_for_rule; default: balanced");
  app.add_option("--device", options.device)->capture_default_str();
  app.add_option("--precision", options.precision)->capture_default_str();
  app.add_option("--recompute", options.recompute)->capture_default_str();
  app.add_option("--dropout", options.dropout)->capture_default_str();
  app.add_option("--predicted", options.predicted, "share of the places with a target")->capture_default_str();
  app.add_option("--peak", options.peak, "TFLOP/s that utilisation is of")->capture_default_str();
  app.add_flag("--tied", options.tied, "the decoder's matrix is the word table");
  app.add_flag("--profile", options.profile, "on a GPU: the device time of each kind of operation, after the timing");
  app.add_flag("--json", options.json);
}

RunSettings settings_of(const Options& o) {
  std::ostringstream text;
  text << "[model]\nname = '" << o.model << "'\nlayers = " << o.layers << "\nwidth = " << o.width
       << "\nheads = " << o.heads << "\nfeed_forward = " << o.feed_forward << "\nvocabulary = " << o.vocabulary
       << "\nmax_length = " << o.length << "\ndropout = " << std::fixed << o.dropout
       << "\ntie_embeddings = " << (o.tied ? "true" : "false")
       << (o.model == "gpt" ? "\n[objective]\nname = 'causal'" : "")
       << "\n[data]\nname = 'random_tokens'\nvocabulary = " << o.vocabulary << "\nsequence_length = " << o.length
       << "\npredicted = " << o.predicted << "\n[learning]\nrule = '" << o.rule << "'\nhorizon = " << o.horizon
       << "\nhead = '" << o.head << "'\n[parallel]\nstages = " << o.stages
       << "\nranks = " << (o.ranks > 0 ? o.ranks : o.stages) << "\nmicrobatches = " << o.microbatches
       << "\nmicrobatch_size = " << o.microbatch << "\nschedule = '" << o.schedule << "'\nplacement = '" << o.placement
       << "'\nthreads = " << o.threads << "\nunit = '" << o.unit << "'\n";
  const bool named = o.cut.starts_with("balanced");
  if (!o.cut.empty()) text << "partition = " << (named ? "'" : "[") << o.cut << (named ? "'" : "]") << "\n";
  // Adam as the peer uses it: constant rate, no decay, no clipping.
  text << "[optimizer]\nname = 'adamw'\nlearning_rate = 1e-4\nweight_decay = 0.0\nclip = 0.0\nwarmup_steps = 0\ndecay "
          "= 'constant'\n"
       << "[run]\ndevice = '" << o.device << "'\nprecision = '" << o.precision << "'\nrecompute = '" << o.recompute
       << "'\nsteps = " << o.all_steps() << "\nevaluate_every = 0\ntrace_steps = 0\n";
  RunSettings settings = read_settings(Config::from_text(text.str()));
  check_settings(settings);
  return settings;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

double flops_per_token(const Options& o) {
  const double width = o.width, layers = o.layers;
  const double share = std::round(o.predicted * o.length) / o.length;
  return 6 * layers * (4 * width * width + 2 * width * o.feed_forward) + 12 * layers * width * o.length +
         6 * share * ((o.model == "gpt" ? 0 : width * width) + width * o.vocabulary);
}

// Milliseconds a step, the longest first.
json listed(const std::map<std::string, std::pair<double, int64_t>>& times, double steps) {
  std::vector<std::pair<double, std::string>> order;
  for (const auto& [name, time] : times) order.emplace_back(-time.first, name);
  std::sort(order.begin(), order.end());
  json all = json::array();
  for (const auto& [seconds, name] : order)
    all.push_back({{"operation", name},
                   {"milliseconds", -1e3 * seconds / steps},
                   {"calls", static_cast<double>(times.at(name).second) / steps}});
  return all;
}

void report(const Options& options, const RunSettings& settings, const RunSummary& summary,
            const std::vector<StepMetrics>& steps, const json& profile) {
  const double tokens = static_cast<double>(options.microbatches * options.microbatch * options.length);
  std::vector<double> seconds, idle;
  for (const StepMetrics& step : steps) {
    if (step.step <= options.warmup || step.step > options.warmup + options.steps) continue;
    seconds.push_back(tokens / step.tokens_per_second);
    idle.push_back(step.idle_share);
  }
  const auto dataset = make_dataset(settings);
  const auto model = make_model(settings, *dataset);
  const std::vector<int> partition = make_partition(settings, *model);
  const auto plans = make_plans(settings, *model);
  const SimulationCosts costs =
      measured_costs(summary, estimate_costs(settings, *model, partition, plans.front().plan.flows), plans);
  const Simulation simulated = simulate(plans.front().plan, costs);
  json peak = json::array();
  for (const RankSummary& rank : summary.ranks) peak.push_back(std::lround(rank.peak_rss_mib));
  GpuMemory memory{};  // of this rank's GPU
  char problem[256] = "";
  if (const CudaModule* module = opened_cuda_module()) module->memory(0, &memory, problem, sizeof problem);
  const json result = {{"model", options.model},
                       {"stages", options.stages},
                       {"ranks", settings.parallel.shape.ranks},
                       {"rule", settings.learning.rules.front().request.rule},
                       {"horizon", options.horizon},
                       {"schedule", plans.front().plan.schedule},
                       {"placement", options.placement},
                       {"unit", options.unit},
                       {"cut", partition},
                       {"microbatches", options.microbatches},
                       {"threads", options.threads},
                       {"device", options.device},
                       {"precision", options.precision},
                       {"microbatch_size", options.microbatch},
                       {"tokens_per_second", tokens / median(seconds)},
                       {"model_tflops", flops_per_token(options) * tokens / median(seconds) * 1e-12},
                       {"utilisation", flops_per_token(options) * tokens / median(seconds) * 1e-12 / options.peak},
                       {"step_seconds", seconds},
                       {"peak_mib", peak},
                       {"gpu_peak_mib", memory.peak >> 20},
                       {"gpu_reserved_mib", memory.reserved >> 20},
                       {"idle_share", median(idle)},
                       {"profile", profile},
                       {"simulated_step", simulated.step},
                       {"simulated_tokens_per_second", tokens / simulated.step},
                       {"first_step_seconds", summary.first_step_seconds}};
  if (!options.json)
    std::cout << static_cast<int64_t>(tokens / median(seconds)) << " tokens/s, step " << median(seconds)
              << " s (simulated from measured costs " << simulated.step << " s), idle " << 100 * median(idle)
              << " %, peak " << peak.dump() << " MiB\n";
  constexpr size_t shown = 30;
  for (size_t i = 0; i < std::min(shown, profile.size()); ++i)
    std::cout << "  " << profile[i]["milliseconds"].get<double>() << " ms, " << profile[i]["calls"].get<double>()
              << " calls: " << profile[i]["operation"].get<std::string>() << "\n";
  std::cout << result.dump() << std::endl;
}

int bench(const Options& options, int argc, char** argv) {
  const RunSettings settings = settings_of(options);
  const LaunchPlace place = launch_place();
  const int world = settings.parallel.shape.ranks;
  if (world > 1 && !place.launched) {
    SupervisorRequest request;
    request.executable = std::filesystem::read_symlink("/proc/self/exe").string();
    request.arguments.assign(argv + 1, argv + argc);
    request.processes = world;
    request.threads_per_rank = settings.parallel.threads;
    return supervise(request);
  }
  std::vector<StepMetrics> steps;
  TrainerCallbacks callbacks;
  std::optional<OperationTimes> times;  // of the last two steps: reports of a GPU come one step late
  callbacks.on_step = [&](const StepMetrics& metrics) {
    steps.push_back(metrics);
    if (options.profile && metrics.step == options.warmup + options.steps) times.emplace(at::Device(at::kCUDA, 0));
  };
  const auto run = [&](Transport& transport) {
    const RunSummary summary = run_rank(settings, transport, make_dataset(settings), callbacks, {.checkpoints = false});
    if (transport.rank() == 0)
      report(options, settings, summary, steps, times ? listed(times->take(), 2) : json::array());
  };
  if (world == 1) {
    run_loopback(1, run);
  } else {
    run(*make_mpi());
  }
  return 0;
}

}  // namespace
}  // namespace interlock

int main(int argc, char** argv) {
  interlock::Options options;
  CLI::App app("Times training steps of the engine on the benchmark encoder.");
  interlock::declare(app, options);
  CLI11_PARSE(app, argc, argv);
  try {
    return interlock::bench(options, argc, argv);
  } catch (const interlock::Error& error) {
    interlock::say_error(error.what());
    return static_cast<int>(error.code());
  }
}
