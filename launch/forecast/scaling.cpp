#include "launch/forecast/scaling.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <tuple>

#include "launch/forecast/memory_footprint.h"
#include "launch/forecast/run_plans.h"
#include "launch/settings/parts.h"
#include "launch/settings/plans.h"
#include "models/model.h"
#include "parallel/plan/schedule.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

RuleRequest request_of(const RuleRequest& asked, const std::string& rule) {
  RuleRequest request;
  request.rule = rule;
  request.frozen = asked.frozen;
  return request;
}

// The config's own first; no way of learning twice.
std::vector<RuleRequest> rules_of(const RunSettings& settings) {
  const RuleRequest& asked = settings.learning.rules.front().request;
  const int stages = settings.parallel.shape.stages;
  std::vector<RuleRequest> rules{asked};
  for (const char* name : {"local", "furthest", "sum", "global"}) {
    const RuleRequest request = request_of(asked, name);
    if (request.horizon > stages && (request.rule == "furthest" || request.rule == "sum")) continue;
    const Matrix weights = make_rule(request, stages).weights;
    if (std::ranges::none_of(rules, [&](const RuleRequest& one) { return make_rule(one, stages).weights == weights; }))
      rules.push_back(request);
  }
  return rules;
}

// As evenly as it goes.
Placement neighbours_together(int stages, int ranks) {
  if (stages % ranks == 0) return Placement::named("contiguous", stages, ranks);
  std::vector<int> rank_of_stage;
  for (int64_t stage = 0; stage < stages; ++stage) rank_of_stage.push_back(static_cast<int>(stage * ranks / stages));
  return Placement::by_hand(std::move(rank_of_stage));
}

struct Step {
  std::string schedule;
  double seconds = 0;
  std::string refused;  // why there is none, in place of the others
};

// What the config says of schedules holds at any number of ranks, and of the named placements as well where one was
// made for the other. Whatever a rank alone is compared by: nobody waits there.
enum class Asked { by_config, fastest };

// Steps of pipelines, each simulated once.
class Pipelines {
 public:
  Pipelines(const RunSettings& settings, const Model& model, const CostsOf& costs_of)
      : settings_(settings), model_(model), costs_of_(costs_of), partition_(make_partition(settings, model)) {}

  Step step(const RuleRequest& rule, int ranks, int microbatches, Asked asked) {
    const std::string name = make_rule(rule, settings_.parallel.shape.stages).name;
    Step& known = steps_[{name, ranks, microbatches, asked}];
    if (known.schedule.empty() && known.refused.empty()) known = simulated(rule, ranks, microbatches, asked);
    return known;
  }
  // Bytes of gradients that the rank with the most of them sums over replicas.
  double gradient_bytes(const RuleRequest& rule, int ranks) const {
    double most = 0;
    for (const MemoryFootprint& rank : rank_footprints(of(rule, ranks, 1, Asked::by_config), model_, partition_))
      most = std::max(most, rank.gradients);
    return most;
  }

 private:
  RunSettings of(const RuleRequest& rule, int ranks, int microbatches, Asked asked) const {
    RunSettings run = settings_;
    run.learning.rules = {{1, rule}};
    if (asked == Asked::fastest) {
      run.parallel.schedule = auto_schedule;
      run.parallel.in_flight = 0;
      run.parallel.memory_mib = 0;
    }
    PlanShape& shape = run.parallel.shape;
    if (ranks != shape.ranks) shape.placement = placement_on(ranks, run.parallel);
    shape.ranks = ranks;
    shape.replicas = 1;
    shape.microbatches = microbatches;
    return run;
  }
  static Placement placement_on(int ranks, const ParallelSettings& parallel) {
    const PlanShape& shape = parallel.shape;
    if (parallel.schedule == auto_schedule || shape.placement.is_by_hand() || shape.stages % ranks != 0)
      return neighbours_together(shape.stages, ranks);
    return Placement::named(shape.placement.name(), shape.stages, ranks);
  }
  Step simulated(const RuleRequest& rule, int ranks, int microbatches, Asked asked) const {
    const RunSettings run = of(rule, ranks, microbatches, asked);
    const PlanRequest request = plan_request(run, model_);
    const SimulationCosts costs = costs_of_(run, partition_, derive_flows(request.rule, run.learning.heads));
    try {
      const ScheduleChoice choice = choose_plan(run, model_, request, costs);
      return {choice.plan.schedule, simulate(choice.plan, costs).step, ""};
    } catch (const Error& error) {
      if (error.code() != ExitCode::config) throw;
      return {"", 0, error.what()};
    }
  }

  const RunSettings& settings_;
  const Model& model_;
  const CostsOf& costs_of_;
  const std::vector<int> partition_;
  std::map<std::tuple<std::string, int, int, Asked>, Step> steps_;
};

// How many ranks are shared out to what, and with how many microbatches; `why_not` where that cannot be.
void share_out(ScalingPoint& point, const ParallelSettings& parallel) {
  const PlanShape& shape = parallel.shape;
  point.pipeline = std::min(point.ranks, shape.ranks);
  point.replicas = point.ranks / point.pipeline;
  if (point.replicas * point.pipeline != point.ranks) {
    point.why_not = message("no multiple of the ", shape.ranks, " ranks of a pipeline");
    return;
  }
  const bool weak = point.scaling == Scaling::weak;
  const int64_t all = int64_t{shape.microbatches} * (weak ? point.ranks : shape.replicas);
  const int64_t parts = int64_t{point.replicas} * (weak ? shape.ranks : 1);
  point.microbatches = static_cast<int>(all / parts);
  if (all == 0 || all % parts != 0)
    point.why_not = weak ? message(shape.microbatches, " microbatches on ", shape.ranks,
                                   " ranks are no whole number on ", point.ranks)
                         : message(all, " microbatches do not share out to ", point.replicas, " replicas");
}

std::optional<int> number_in(const std::string& text) {
  int number = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (problem != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace

std::vector<ScalingPoint> scaling_of(const RunSettings& settings, const Model& model, const std::vector<int>& ranks,
                                     const CostsOf& costs_of) {
  Pipelines pipelines(settings, model, costs_of);
  const std::vector<int> partition = make_partition(settings, model);
  const int all = settings.parallel.shape.microbatches * settings.parallel.shape.replicas;
  std::vector<ScalingPoint> points;
  std::string refused;
  for (const Scaling scaling : {Scaling::weak, Scaling::strong}) {
    for (const RuleRequest& rule : rules_of(settings)) {
      const LearningRule made = make_rule(rule, settings.parallel.shape.stages);
      const SimulationCosts links = costs_of(settings, partition, derive_flows(made, settings.learning.heads));
      const Step one = pipelines.step(rule, 1, all, Asked::fastest);
      if (!one.refused.empty()) throw Error(ExitCode::config, one.refused);
      const double alone = one.seconds / all;  // of a microbatch
      for (const int count : ranks) {
        ScalingPoint point;
        point.scaling = scaling;
        point.ranks = count;
        point.rule = made.name;
        share_out(point, settings.parallel);
        if (point.why_not.empty()) {
          const Step step = pipelines.step(rule, point.pipeline, point.microbatches, Asked::by_config);
          if (!step.refused.empty()) {
            point.why_not = refused = step.refused;
            points.push_back(std::move(point));
            continue;
          }
          const double others = point.replicas - 1;
          point.schedule = step.schedule;
          if (others > 0)
            point.sum = 2 * others *
                        (links.latency +
                         pipelines.gradient_bytes(rule, point.pipeline) / point.replicas * links.seconds_per_byte);
          point.step = step.seconds + point.sum;
          point.efficiency = alone * point.microbatches * point.replicas / (point.step * point.ranks);
        }
        points.push_back(std::move(point));
      }
    }
  }
  if (!refused.empty() && std::ranges::none_of(points, [](const auto& point) { return point.why_not.empty(); }))
    throw Error(ExitCode::config, refused);
  return points;
}

std::vector<int> read_ranks(const std::string& text) {
  const auto refuse = [&](const std::string& why) -> Error {
    return Error(ExitCode::usage,
                 message("--sweep ranks=", text, ": ", why, "; write numbers of ranks that rise, as in ",
                         "ranks=1,2,4,8 or ranks=1,2,4,...,1024"));
  };
  std::vector<int> ranks;
  bool goes_on = false;
  const auto add = [&](int number) {
    if (number < 1 || (!ranks.empty() && number <= ranks.back()))
      throw refuse(message(number, " does not rise from what stands before"));
    ranks.push_back(number);
  };
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string word = text.substr(begin, end - begin);
    begin = end + 1;
    if (word == "...") {
      if (ranks.size() < 2 || goes_on) throw refuse("\"...\" stands behind two numbers at least, and before the last");
      goes_on = true;
      continue;
    }
    const std::optional<int> number = number_in(word);
    if (!number) throw refuse(message("\"", word, "\" is no number"));
    if (goes_on) {
      const int last = ranks.back(), before = ranks[ranks.size() - 2];
      const bool by_factor =
          last % before == 0 && (ranks.size() < 3 || ranks[ranks.size() - 3] * (last / before) == before);
      for (int64_t next = last;;) {
        next = by_factor ? next * (last / before) : next + last - before;
        if (next >= *number) break;
        add(static_cast<int>(next));
      }
      goes_on = false;
    }
    add(*number);
  }
  if (goes_on) throw refuse("nothing stands behind \"...\"");
  return ranks;
}

}  // namespace interlock
