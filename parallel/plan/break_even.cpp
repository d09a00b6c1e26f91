// From how many microbatches per step on global learning is at least as fast as a rule.
//
// furthest(N) and sum(N) do N - 1 extra input-gradient passes and a head (h) per microbatch on each stage, global
// learning pays a bubble of 3 (K - 1) per step; with a warm-up of N stages instead of K the two meet at m* = 3 (K - N)
// / (N - 1 + h). Units: a third of a stage's forward and backward. Local learning is N = 1.

#include <algorithm>
#include <cassert>
#include <numeric>

#include "parallel/plan/auto_schedule.h"
#include "parallel/plan/schedule.h"

namespace interlock {
namespace {

// The mean head below the last stage, in thirds of that stage's forward and backward.
double head_in_thirds(const SimulationCosts& costs) {
  double sum = 0;
  const size_t heads = costs.stages.size() - 1;
  for (size_t stage = 0; stage < heads; ++stage) {
    const StageCosts& cost = costs.stages[stage];
    const double third = (cost.forward + cost.input_gradient + cost.weight_gradient) / 3;
    if (third > 0) sum += cost.loss / third / static_cast<double>(heads);
  }
  return sum;
}

double by_formula(int stages, int horizon, const SimulationCosts& costs) {
  if (horizon >= stages) return 0;  // the rule is global learning, or does all its work and more
  const double extra = horizon - 1 + head_in_thirds(costs);
  return extra > 0 ? 3.0 * (stages - horizon) / extra : -1;
}

double simulated_step(PlanRequest request, int microbatches, const SimulationCosts& costs) {
  request.shape.microbatches = microbatches;
  if (request.schedule == auto_schedule) return choose_schedule(request, costs).candidates.front().step;
  return simulate(make_plan(request), costs).step;
}

// Smallest m with a global step no longer than the rule's: doubling finds a bound, halving the place.
double by_simulation(const PlanRequest& request, const SimulationCosts& costs, int most) {
  PlanRequest global = request;
  global.rule = make_rule({.rule = "global", .untrained = request.rule.frozen}, request.shape.stages);
  const auto global_wins = [&](int microbatches) {
    const double rule_step = simulated_step(request, microbatches, costs);
    return simulated_step(global, microbatches, costs) <= rule_step * (1 + 1e-9);  // equal but for rounding of sums
  };
  int wins = 1;
  while (!global_wins(wins)) {
    if (wins == most) return -1;
    wins = std::min(most, 2 * wins);
  }
  if (wins == 1) return 0;
  int loses = wins / 2;
  while (wins - loses > 1) {
    const int middle = std::midpoint(loses, wins);
    (global_wins(middle) ? wins : loses) = middle;
  }
  return wins;
}

}  // namespace

bool has_break_even_formula(const RuleRequest& asked, const std::string& schedule) {
  return (schedule == "wavefront" || schedule == "gpipe") && asked.all_train() &&
         (asked.rule == "furthest" || asked.rule == "sum" || asked.rule == "local");
}

double break_even_microbatches(const PlanRequest& request, const RuleRequest& asked, const SimulationCosts& costs,
                               int most) {
  const int stages = request.shape.stages;
  assert(costs.stages.size() == static_cast<size_t>(stages));
  if (has_break_even_formula(asked, request.schedule))
    return by_formula(stages, asked.rule == "local" ? 1 : asked.horizon, costs);
  return by_simulation(request, costs, most);
}

}  // namespace interlock
