// What measured times of actions say about input and weight gradients, for plans whose W walk or are deferred.

#include <gtest/gtest.h>

#include "launch/forecast/measured_costs.h"
#include "parallel/plan/lower.h"

namespace interlock {
namespace {

// Global learning of two stages on one rank; stage 1 does B, or I and then W, and W before I in `walked` microbatches.
Plan plan_of(bool split, int walked = 0) {
  PlanRequest request;
  request.shape = {.stages = 2, .ranks = 1, .microbatches = 4};
  request.rule = make_rule({.rule = "global"}, 2);
  Plan plan = make_plan(request);
  if (!split) return plan;
  std::vector<Action> order;
  for (const Action& action : plan.ranks[0]) {
    if (action.kind > Kind::backward) continue;
    order.push_back(action);
    if (action.kind != Kind::backward) continue;
    order.back().kind = Kind::input_gradient;
    const Action weights{Kind::weight_gradient, action.stage, action.microbatch, -1};
    order.insert(action.microbatch < walked ? order.end() - 1 : order.end(), weights);
  }
  lower(plan, {order});
  return plan;
}

StageCosts costs_of(const std::vector<TrainerSettings::RulePlan>& plans, double input, double weight, double both) {
  RunSummary summary;
  summary.steps = 10;
  RankSummary& rank = summary.ranks.emplace_back();
  const auto set = [&](Kind kind, double seconds) {
    if (seconds > 0) rank.costs[1][static_cast<size_t>(kind)] = {seconds * 8, 8};
  };
  set(Kind::input_gradient, input);
  set(Kind::weight_gradient, weight);
  set(Kind::backward, both);
  return measured_costs(summary, SimulationCosts::unit(2), plans).stages[1];
}

// A walk of 2 s and products of 3 s; all sums are exact.
TEST(MeasuredCosts, DeferredWTakesTheProductsAlone) {
  const StageCosts deferred = costs_of({{1, plan_of(true)}}, 2, 3, 0);
  EXPECT_EQ(deferred.input_gradient, 2);
  EXPECT_EQ(deferred.weight_gradient, 3);
  const StageCosts walked = costs_of({{1, plan_of(true, 4)}}, 2, 5, 0);
  EXPECT_EQ(walked.input_gradient, 2);
  EXPECT_EQ(walked.weight_gradient, 3);
  // Half of them each: (3 + 5) / 2.
  const StageCosts mixed = costs_of({{1, plan_of(true, 2)}}, 2, 4, 0);
  EXPECT_EQ(mixed.weight_gradient, 3);
  // In B, nothing says how much of it is the walk: half is counted to each.
  const StageCosts together = costs_of({{1, plan_of(false)}}, 0, 0, 5);
  EXPECT_EQ(together.input_gradient, 2.5);
  EXPECT_EQ(together.weight_gradient, 2.5);
}

TEST(MeasuredCosts, StepsUnderEachPlanCount) {
  // Of ten steps, five defer and five walk; what a plan after the last step would do does not count.
  const std::vector<TrainerSettings::RulePlan> plans{{1, plan_of(true)}, {6, plan_of(true, 4)}, {11, plan_of(true, 4)}};
  EXPECT_EQ(costs_of(plans, 2, 4, 0).weight_gradient, 3);
}

}  // namespace
}  // namespace interlock
