// `interlock plan`: what a run would do and cost, before it runs; and the proof of a plan written by hand.

#include <sys/ioctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "launch/command.h"
#include "launch/folders/output_apart.h"
#include "launch/forecast/estimate.h"
#include "launch/forecast/measured_memory.h"
#include "launch/forecast/memory_check.h"
#include "launch/forecast/memory_footprint.h"
#include "launch/forecast/run_plans.h"
#include "launch/forecast/scaling.h"
#include "launch/forecast/stage_parts.h"
#include "launch/plan_report/model_depth.h"
#include "launch/plan_report/plan_costs.h"
#include "launch/plan_report/plan_report.h"
#include "launch/plan_report/scaling_report.h"
#include "launch/run/assemble.h"
#include "launch/settings/parts.h"
#include "launch/settings/plans.h"
#include "launch/terminal/json_line.h"
#include "launch/terminal/number_option.h"
#include "models/parameter_count.h"
#include "parallel/plan/plan_check.h"
#include "parallel/plan/schedule.h"
#include "parallel/plan/step_bounds.h"
#include "runtime/core/heap.h"
#include "runtime/core/log.h"
#include "runtime/storage/atomic_file.h"

namespace interlock {
namespace {

// Of the terminal; 100 where there is none.
int columns_of_stdout() {
  winsize size{};
  if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40) return size.ws_col;
  return 100;
}

// Pictures of short steps show two, so that the way from one to the next is seen.
int steps_shown(const PlanShape& shape) { return shape.microbatches * shape.stages / shape.ranks <= 6 ? 2 : 1; }

// Plans are made, simulated and drawn several times: beyond this that takes minutes and gigabytes.
constexpr int64_t most_forwards = int64_t{1} << 20;
constexpr uint64_t most_plan_bytes = uint64_t{256} << 20;  // about as many forwards, with all that goes with them
void refuse_too_large(const PlanShape& shape) {
  const int64_t forwards = int64_t{shape.stages} * shape.microbatches;
  if (forwards <= most_forwards) return;
  throw Error(ExitCode::config,
              message("parallel.microbatches = ", shape.microbatches, ": a plan of ", shape.stages, " stages x ",
                      shape.microbatches, " microbatches is too large to be shown (at most ", most_forwards,
                      " forwards); steps grow evenly with their microbatches, so ask with at most ",
                      std::max<int64_t>(1, most_forwards / shape.stages)));
}
// Takes longer than a person waits without a word.
bool is_large(const PlanShape& shape) {
  return shape.stages > 256 || int64_t{shape.stages} * shape.microbatches > (int64_t{1} << 16);
}

// The same run under one rule from the start.
RunSettings under(RunSettings settings, const RuleRequest& rule) {
  settings.learning.rules = {{1, rule}};
  return settings;
}

RuleRequest global_rule(const RuleRequest& asked) {
  RuleRequest request;
  request.rule = "global";
  request.frozen = asked.frozen;
  request.untrained = asked.untrained;
  return request;
}

class PlanCommand final : public Command {
 public:
  std::string summary() const override {
    return "show what a run would do, wait and cost, or prove a plan written by hand";
  }
  void declare(CLI::App& app) override {
    auto* config = app.add_option("config", config_, "the run as a TOML file");
    app.add_option("--set", overrides_, "override a key: section.key=value")
        ->type_name("KEY=VALUE")
        ->allow_extra_args(false);
    app.add_flag("--json", json_, "end with one JSON object on stdout");
    app.add_option("--svg", svg_, "draw the timeline into this file")->type_name("FILE");
    auto* text = app.add_option("--text", text_, "write the plan's actions into this file")->type_name("FILE");
    auto* check =
        app.add_option("--check", check_, "prove the plan in this file instead of making one")->type_name("FILE");
    auto* advise = app.add_flag("--advise-depth", advise_depth_, "say whether the model is deep or wide for its size");
    auto* unit = app.add_flag("--unit-costs", unit_costs_,
                              "count forward, input gradient and weight gradient of every stage 1 each, all else 0");
    app.add_option("--costs", costs_, "costs that a run measured (costs.json of its folder)")
        ->type_name("FILE")
        ->excludes(unit);
    app.add_option("--gflops", gflops_, "speed of one thread for estimated costs, in 10^9 operations per second")
        ->check(number_between(1e-9))
        ->excludes(unit);
    app.add_option("--bandwidth", bandwidth_, "between ranks for estimated costs, in 10^9 bytes per second")
        ->check(number_between(1e-9))
        ->excludes(unit);
    auto* sweep =
        app.add_option("--sweep", sweep_, "steps on more and fewer ranks, for each rule: ranks=1,2,4,...,1024")
            ->type_name("ranks=LIST")
            ->excludes(check)
            ->excludes(unit)
            ->excludes(text)
            ->excludes(advise);
    app.add_option("--link-bandwidth", link_bandwidth_,
                   "of a link between ranks, in bytes per second; 0: as the costs say")
        ->check(number_between(0))
        ->needs(sweep);
    app.add_option("--link-latency", link_latency_, "of a message between ranks, in seconds")
        ->check(number_between(0, 1e9))
        ->needs(sweep);
    app.callback([config, check] {
      if (config->empty() && check->empty()) throw CLI::RequiredError("config (or --check FILE)");
    });
  }

  int run() override {
    // Of a large plan candidates come and go in pieces of every size: kept pages would add up to 24 GiB for 4096
    // stages.
    return_freed_pages();
    refuse_over_sources("--svg", svg_, {config_, check_, costs_});
    refuse_over_sources("--text", text_, {config_, check_, costs_});
    refuse_same_output("--svg", svg_, "--text", text_);
    if (!sweep_.empty()) return sweep();
    PlanReport report = check_.empty() ? of_config() : of_file();
    if (!svg_.empty()) {
      const std::string title =
          message(report.plan.rule.name, ", ", report.plan.schedule, ", ", report.plan.shape.stages, " stages on ",
                  report.plan.shape.ranks, " ranks, ", report.plan.shape.microbatches, " microbatches");
      write_atomically(svg_, timeline_svg(report.plan, report.picture, report.unit, title));
      log_info("wrote " + svg_);
    }
    if (!text_.empty()) {
      write_atomically(text_, print_plan(report.plan));
      log_info("wrote " + text_);
    }
    if (json_) {
      std::cout << json_line(report_json(report)) << std::flush;
    } else {
      std::cout << report_text(report, columns_of_stdout());
    }
    return 0;
  }

 private:
  int sweep() const {
    const std::string key = "ranks=";
    if (!sweep_.starts_with(key))
      throw Error(ExitCode::usage,
                  message("--sweep ", sweep_, ": only ranks can be swept: --sweep ranks=1,2,4,...,1024"));
    const std::vector<int> ranks = read_ranks(sweep_.substr(key.size()));
    const RunSettings run = settings();
    const auto model = make_model(run, *make_dataset(run));
    ScalingReport report;
    double bandwidth = 0, latency = 0;
    report.points = scaling_of(run, *model, ranks,
                               [&](const RunSettings& one, const std::vector<int>& partition, const Flows& flows) {
                                 SimulationCosts costs = costs_of(one, *model, partition, flows);
                                 if (link_bandwidth_ > 0) costs.seconds_per_byte = 1 / link_bandwidth_;
                                 if (link_latency_ >= 0) costs.latency = link_latency_;
                                 bandwidth = costs.seconds_per_byte > 0 ? 1 / costs.seconds_per_byte : 0;
                                 latency = costs.latency;
                                 return costs;
                               });
    report.costs = costs_sentence(run);
    report.schedules = schedules_of(run.parallel);
    report.links = message(bandwidth > 0 ? message(bandwidth, " bytes/s") : "no time for bytes", " and ", latency,
                           " s between ranks");
    if (!svg_.empty()) {
      write_atomically(svg_, scaling_svg(report, "Samples per second and rank, of one rank's"));
      log_info("wrote " + svg_);
    }
    std::cout << (json_ ? json_line(scaling_json(report)) : scaling_text(report));
    return 0;
  }

  RunSettings settings() const {
    RunSettings read = read_settings(Config::from_file(config_, overrides_));
    refuse_too_large(read.parallel.shape);
    tell(read, "cutting the model");
    check_settings(read);
    check_steps_of_changes(read);
    return read;
  }

  // Progress, where there is time for it.
  static void tell(const RunSettings& settings, const std::string& what) {
    const PlanShape& shape = settings.parallel.shape;
    if (is_large(shape)) log_info(message(shape.stages, " stages x ", shape.microbatches, " microbatches: ", what));
  }

  // What candidates are judged by: what a run would, unless other costs are given.
  SimulationCosts costs_to_judge_by(const RunSettings& settings, const Model& model, const PlanRequest& request) const {
    const bool has_default_costs =
        costs_.empty() && !unit_costs_ && gflops_ == default_gflops && bandwidth_ == default_bandwidth;
    if (has_default_costs) return costs_to_choose_by(settings, model, request.rule);
    return costs_of(settings, model, make_partition(settings, model), derive_flows(request.rule, request.heads));
  }
  ScheduleChoice choice_of(const RunSettings& settings, const Model& model, const PlanRequest& request) const {
    return choose_plan(settings, model, request, costs_to_judge_by(settings, model, request));
  }

  // For a plan of this rule, among those of the run.
  SimulationCosts costs_of(const RunSettings& settings, const Model& model, const std::vector<int>& partition,
                           const Flows& flows) const {
    SimulationCosts costs = estimate_costs(settings, model, partition, flows, gflops_, bandwidth_);
    if (!costs_.empty()) return with_times_of(std::move(costs), read_costs(costs_, settings.parallel.shape.stages));
    return unit_costs_ ? with_unit_times(costs) : costs;
  }

  std::string costs_sentence(const RunSettings& run) const {
    const LinkSpeed& links = run.parallel.links;
    return costs_sentence(run.parallel.threads) + (links.slowed() ? "; links " + slowed_text(links) : "");
  }
  std::string costs_sentence(int threads) const {
    if (unit_costs_)
      return "unit costs: forward, input gradient and weight gradient of every stage 1 each, heads, updates and "
             "messages 0";
    if (!costs_.empty()) return "times measured, from " + costs_;
    return message("estimated from the model's operation counts at ", gflops_, " Gflop/s per thread (", threads,
                   " per rank) and ", bandwidth_, " GB/s between ranks; --costs FILE takes what a run measured");
  }

  void simulate_into(PlanReport& report, const SimulationCosts& costs) const {
    report.simulation = simulate(report.plan, costs);
    report.bounds = step_bounds(report.plan, costs);
    report.picture_steps = steps_shown(report.plan.shape);
    report.picture = simulate(report.plan, costs, report.picture_steps, true);
    const bool timed = !unit_costs_ && !(config_.empty() && costs_.empty());
    if (timed) report.unit = TimeUnit::of_seconds(report.simulation.step);
  }

  // Of the plans that the report tells of; of its first one where the run begins with it.
  void tell_memory(PlanReport& report, const RunSettings& run, const Model& model, bool begins_with_it) const {
    std::vector<const Plan*> plans;
    if (begins_with_it) plans.push_back(&report.plan);
    for (const PlanReport::Change& change : report.changes) plans.push_back(&change.plan);
    report.memory = rank_footprints(run, model, report.blocks, plans);
    const EmptyRank empty = measure_empty_rank(run);
    report.empty_rank = empty.bytes;
    const double data = measure_data(run);
    report.processes = run.parallel.processes();
    if (!may_be_on_gpu(run)) report.machine = machine_memory();
    report.together = bytes_together(report.memory, {0, report.processes, run.parallel.transport == "loopback"},
                                     outside_of(empty, data), run.parallel.shard_optimizer);
    for (MemoryFootprint& rank : report.memory) rank.data = data;
    report.parameters = parameter_count(model);
    report.trained_parameters = trained_parameter_count(model);
    if (choose_layers(run.techniques)) {
      report.layers.emplace();
      for (const auto& [layer, place] : places_of_layers(model, report.blocks)) {
        ++report.layers->count;
        report.layers->expected += share_of_runs(run.techniques, layer, place.layers);
      }
    }
    PlanReport::Readout readout{0, 0, run.learning.refresh_every};
    for (const MemoryFootprint& rank : report.memory) readout.ranks += rank.readout_copies > 0;
    for (const MemoryFootprint& stage : stage_footprints(run, model, stage_parts(run, model, report.blocks)))
      readout.bytes = std::max(readout.bytes, stage.readout_copies);
    if (readout.ranks > 0) report.readout = readout;
  }

  // Global learning beside the rule may need more memory than there is.
  std::optional<Plan> plan_if_it_fits(const RunSettings& settings, const Model& model,
                                      const PlanRequest& request) const {
    try {
      return choice_of(settings, model, request).plan;
    } catch (const Error&) {
      return std::nullopt;
    }
  }

  PlanReport of_config() const {
    const RunSettings run = settings();
    const auto dataset = make_dataset(run);
    const auto model = make_model(run, *dataset);
    if (dataset->objective() == Objective::classification && dataset->classes() == 0)
      log_warning(message("the classes are not known where the data cannot be read: the plan counts ", model->classes(),
                          "; data.labels names them"));
    PlanReport report;
    report.looks_together = run.divergence.policy != OnDivergence::stop;
    report.blocks = make_partition(run, *model);
    report.cut_unit = run.parallel.unit;
    report.costs = costs_sentence(run);
    if (advise_depth_) {
      RunSettings plain = run;
      plain.techniques.clear();
      report.advice = advise_depth_of(*make_model(plain, *dataset), run.model_name, run.parallel.batch.microbatch_size);
    }
    const PlanRequest request = plan_request(run, *model);
    tell(run, "simulating schedules");
    report.choice = choice_of(run, *model, request);
    report.plan = report.choice.plan;
    report.memory_limit_mib = run.parallel.memory_mib;
    const SimulationCosts costs = costs_of(run, *model, report.blocks, report.plan.flows);
    if (!costs_.empty()) warn_of_other_sizes(costs, costs_);
    simulate_into(report, costs);
    if (const std::string why = nothing_learns(run, stage_parts(run, *model, report.blocks)); !why.empty())
      log_warning(why);

    const RunSettings global = under(run, global_rule(run.learning.rules.front().request));
    const PlanRequest global_request = plan_request(global, *model);
    if (global_request.rule.weights != request.rule.weights) {
      tell(run, "simulating global learning, and from when on it is faster");
      if (const auto plan = plan_if_it_fits(global, *model, global_request)) {
        report.global = simulate(*plan, costs_of(global, *model, report.blocks, plan->flows));
        report.schedule_of_global = plan->schedule;
      }
      // A search simulates plans of up to so many microbatches, under auto several of each: beyond it takes minutes.
      const int most_tried = request.schedule == auto_schedule ? 1 << 15 : 1 << 19;
      report.most_tried = std::clamp(most_tried / run.parallel.shape.stages, 1, 4096);
      const RuleRequest asked = rule_request(run, *model);
      report.break_even_by_formula = has_break_even_formula(asked, request.schedule);
      report.break_even = break_even_microbatches(request, asked, costs, report.most_tried);
    }
    bool begins_with_it = false;
    for (const RunPhase& phase : phases_of(run)) {
      if (phase.at_step == 1 && phase.microbatches == run.parallel.shape.microbatches) {
        begins_with_it = true;
        continue;  // told above
      }
      PlanRequest asked = plan_request(run, *model, phase.rule);
      asked.shape.microbatches = phase.microbatches;
      Plan plan = choice_of(run, *model, asked).plan;
      Simulation simulation = simulate(plan, costs_of(run, *model, report.blocks, plan.flows));
      report.changes.push_back({phase.at_step, std::move(plan), std::move(simulation)});
    }
    tell(run, "counting memory");
    tell_memory(report, run, *model, begins_with_it);
    return report;
  }

  // A plan by hand: proved, then reported. A config beside it gives the costs, when it has as many stages.
  PlanReport of_file() const {
    PlanReport report;
    report.plan = parse_plan(read_whole(check_, most_plan_bytes), check_);
    try {
      plan_check(report.plan);
    } catch (const Error& error) {
      throw Error(error.code(), check_ + ": " + error.what());
    }
    SimulationCosts costs = SimulationCosts::unit(report.plan.shape.stages);
    report.costs = "unit costs, since no config says what the stages hold";
    if (!config_.empty()) {
      const RunSettings run = settings();
      if (run.parallel.shape.stages != report.plan.shape.stages)
        throw Error(ExitCode::config, message(check_, " has ", report.plan.shape.stages, " stages, ", config_, " has ",
                                              run.parallel.shape.stages));
      const auto model = make_model(run, *make_dataset(run));
      report.blocks = make_partition(run, *model);
      report.cut_unit = run.parallel.unit;
      costs = costs_of(run, *model, report.blocks, report.plan.flows);
      if (!costs_.empty()) warn_of_other_sizes(costs, costs_);
      report.costs = costs_sentence(run);
    } else if (!costs_.empty()) {
      costs = read_costs(costs_, report.plan.shape.stages);
      report.costs = costs_sentence(0);
    }
    simulate_into(report, costs);
    const std::string proof = message(
        check_,
        ": proved. Every value is made before it is used, every receive has its send in order, nothing "
        "deadlocks even when\nsends wait for their receives, and each stage is taught exactly once per microbatch.");
    if (json_) {
      log_info(proof);
    } else {
      std::cout << proof << "\n\n";
    }
    return report;
  }

  std::string config_, svg_, text_, check_, costs_, sweep_;
  std::vector<std::string> overrides_;
  static constexpr double default_gflops = 50, default_bandwidth = 5;
  double gflops_ = default_gflops, bandwidth_ = default_bandwidth;
  double link_bandwidth_ = 0, link_latency_ = -1;  // 0, negative: as the costs say
  bool json_ = false, unit_costs_ = false, advise_depth_ = false;
};

const Registration<Command> registered("plan", [] { return std::make_unique<PlanCommand>(); });

}  // namespace
}  // namespace interlock
