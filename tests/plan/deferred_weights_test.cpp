// Which W are deferred, what they cost in time and memory, against formulas and cases worked out by hand.

#include "parallel/plan/deferred_weights.h"

#include <gtest/gtest.h>

#include "parallel/plan/lower.h"
#include "parallel/plan/plan_check.h"
#include "parallel/plan/simulate.h"

namespace interlock {
namespace {

Plan rule_on(const RuleRequest& asked, int stages, int microbatches) {
  PlanRequest request;
  request.shape = {.stages = stages, .ranks = stages, .microbatches = microbatches};
  request.rule = make_rule(asked, stages);
  request.norm_over_model = couples_all_stages(request.rule);
  return make_plan(request);
}

// Each B becomes I and W, in this order or the other; `late`: the W of a rank come after everything else.
enum class Split { input_first, weights_first, late };
Plan split(const Plan& plan, Split how) {
  std::vector<std::vector<Action>> order(plan.shape.ranks);
  for (int rank = 0; rank < plan.shape.ranks; ++rank) {
    std::vector<Action> late;
    for (const Action& action : plan.ranks[rank]) {
      if (action.kind > Kind::backward) continue;
      if (action.kind != Kind::backward) {
        order[rank].push_back(action);
        continue;
      }
      const Action weights{Kind::weight_gradient, action.stage, action.microbatch, -1};
      if (how == Split::weights_first) order[rank].push_back(weights);
      order[rank].push_back({Kind::input_gradient, action.stage, action.microbatch, action.stream});
      if (how == Split::input_first) order[rank].push_back(weights);
      if (how == Split::late) late.push_back(weights);
    }
    order[rank].insert(order[rank].end(), late.begin(), late.end());
  }
  Plan result = plan;
  lower(result, order);
  EXPECT_FALSE(find_fault(result));
  return result;
}

std::vector<int64_t> deferred_of(const Plan& plan) {
  std::vector<int64_t> counts;
  for (const WeightPasses& passes : weight_passes(plan)) counts.push_back(passes.deferred);
  return counts;
}
std::vector<int64_t> weights_of(const Plan& plan) {
  std::vector<int64_t> counts;
  for (const WeightPasses& passes : weight_passes(plan)) counts.push_back(passes.all);
  return counts;
}
using Counts = std::vector<int64_t>;

TEST(DeferredWeights, FollowTheirOwnI) {
  const Plan whole = rule_on({.rule = "global"}, 3, 4);
  EXPECT_EQ(weights_of(whole), (Counts{4, 0, 0}));  // stage 0 passes nothing on, the others do B
  EXPECT_EQ(deferred_of(whole), (Counts{0, 0, 0}));
  EXPECT_EQ(weights_of(split(whole, Split::input_first)), (Counts{4, 4, 4}));
  EXPECT_EQ(deferred_of(split(whole, Split::input_first)), (Counts{0, 4, 4}));
  EXPECT_EQ(deferred_of(split(whole, Split::late)), (Counts{0, 4, 4}));
  EXPECT_EQ(deferred_of(split(whole, Split::weights_first)), (Counts{0, 0, 0}));
}

TEST(DeferredWeights, OtherStreamsRecordNothing) {
  // furthest(3) of 4 stages: stage 1 passes loss 2 on and learns from loss 3, so its W walks though I came before;
  // stage 2 passes loss 2 on in I and loss 3 in B.
  const Plan plan = rule_on({.rule = "furthest", .horizon = 3}, 4, 2);
  EXPECT_EQ(plan.flows.stages[1].joint, -1);
  EXPECT_EQ(weights_of(plan), (Counts{2, 2, 0, 0}));
  EXPECT_EQ(deferred_of(plan), (Counts{0, 0, 0, 0}));
  const Plan two = split(plan, Split::input_first);
  EXPECT_EQ(deferred_of(two), (Counts{0, 0, 2, 2}));
  const DeferredWeights deferred(two);
  EXPECT_TRUE(deferred.records({Kind::input_gradient, 2, 1, plan.flows.stages[2].joint}));
  EXPECT_FALSE(deferred.records({Kind::input_gradient, 2, 1, 1 - plan.flows.stages[2].joint}));
  EXPECT_FALSE(deferred.records({Kind::input_gradient, 1, 0, 0}));
  EXPECT_TRUE(deferred.is_deferred({Kind::weight_gradient, 2, 0, -1}));
  EXPECT_FALSE(deferred.is_deferred({Kind::weight_gradient, 1, 0, -1}));
  EXPECT_FALSE(deferred.is_deferred({Kind::backward, 2, 0, plan.flows.stages[2].joint}));
}

TEST(DeferredWeights, NoPlanOfASchedulePutsWeightsOff) {
  for (const std::string schedule : {"wavefront", "gpipe"}) {
    for (const std::string rule : {"local", "furthest", "sum", "chunked", "deep_supervision", "global"}) {
      PlanRequest request;
      request.shape = {.stages = 6, .ranks = 3, .microbatches = 4};
      request.rule = make_rule({.rule = rule, .horizon = 3, .window = 3}, 6);
      request.schedule = schedule;
      EXPECT_EQ(deferred_of(make_plan(request)), Counts(6, 0)) << rule << " " << schedule;
    }
  }
}

TEST(DeferredWeights, UnitCosts) {
  EXPECT_EQ(unit_cost(Kind::forward), 1);
  EXPECT_EQ(unit_cost(Kind::input_gradient), 1);
  EXPECT_EQ(unit_cost(Kind::loss), 0);
  EXPECT_EQ(unit_cost(Kind::backward), unit_cost(Kind::weight_gradient));
  EXPECT_EQ(unit_cost(Kind::backward), unit_cost(Kind::input_gradient) + unit_cost(Kind::weight_gradient, true));
}

// One microbatch under global learning of K stages. Down the chain go K forwards, and K - 1 of what a stage does before
// it passes on; stage 0 walks and multiplies (2).
TEST(DeferredWeights, TheChainWaitsForInputGradientsOnly) {
  for (int stages = 2; stages <= 6; ++stages) {
    const Plan plan = rule_on({.rule = "global"}, stages, 1);
    const auto step = [&](const Plan& each) { return simulate(each, SimulationCosts::unit(stages)).step; };
    EXPECT_EQ(step(plan), stages + 2 * (stages - 1) + 2);                               // B
    EXPECT_EQ(step(split(plan, Split::input_first)), stages + (stages - 1) + 2);        // I
    EXPECT_EQ(step(split(plan, Split::late)), stages + (stages - 1) + 2);               // I
    EXPECT_EQ(step(split(plan, Split::weights_first)), stages + 3 * (stages - 1) + 2);  // W that walks, then I
  }
}

TEST(DeferredWeights, TheWorkOfAStageIsThatOfB) {
  // A rank that never waits shows what its actions cost: the last stage alone, costs that no other sum makes.
  const Plan plan = rule_on({.rule = "chunked", .window = 2}, 2, 3);
  SimulationCosts costs = SimulationCosts::unit(2);
  costs.stages[1] = {.forward = 100, .input_gradient = 10, .weight_gradient = 1};
  const auto busy = [&](const Plan& each) {
    const Simulation result = simulate(each, costs);
    return result.step * (1 - result.idle_share_of_rank[1]);
  };
  constexpr double rounding = 1e-9;  // of the idle share, times a step of some hundreds
  EXPECT_NEAR(busy(plan), 3 * (100 + 10 + 1), rounding);
  EXPECT_NEAR(busy(split(plan, Split::input_first)), 3 * (100 + 10 + 1), rounding);
  EXPECT_NEAR(busy(split(plan, Split::late)), 3 * (100 + 10 + 1), rounding);
  EXPECT_NEAR(busy(split(plan, Split::weights_first)), 3 * (100 + 10 + 1 + 10), rounding);
}

TEST(DeferredWeights, WhatLiesBetweenIsCounted) {
  SimulationCosts costs = SimulationCosts::unit(2);
  for (StageCosts& stage : costs.stages) stage = {.activation_bytes = 100, .working_bytes = 10, .recorded_bytes = 1000};
  const auto peak = [&](const Plan& plan) { return simulate(plan, costs).peak_bytes; };
  const Plan plan = rule_on({.rule = "global"}, 2, 3);
  // Rank 1 (1F1B) keeps one microbatch; rank 0 keeps two and defers nothing.
  EXPECT_EQ(peak(plan), (std::vector<double>{2 * 100 + 10, 100 + 10}));
  EXPECT_EQ(peak(split(plan, Split::weights_first)), (std::vector<double>{2 * 100 + 10, 100 + 10}));
  EXPECT_EQ(peak(split(plan, Split::input_first)), (std::vector<double>{2 * 100 + 10, 100 + 10 + 1000}));
  // All three microbatches wait for their W, activations and records.
  EXPECT_EQ(peak(split(plan, Split::late)), (std::vector<double>{2 * 100 + 10, 3 * (100 + 1000) + 10}));
  EXPECT_EQ(split(plan, Split::late).in_flight(), (std::vector<int>{2, 3}));
}

TEST(DeferredWeights, WhatOnlyOtherPassesNeededIsFreeInBetween) {
  SimulationCosts costs = SimulationCosts::unit(2);
  for (StageCosts& stage : costs.stages)
    stage = {.activation_bytes = 100, .working_bytes = 10, .recorded_bytes = 30, .released_bytes = 60};
  const auto peak = [&](const Plan& plan) { return simulate(plan, costs).peak_bytes; };
  const Plan plan = rule_on({.rule = "global"}, 2, 3);
  EXPECT_EQ(peak(split(plan, Split::input_first)), (std::vector<double>{2 * 100 + 10, 100 + 10}));
  // The third microbatch comes while two wait for their W with 100 + 30 - 60 each.
  EXPECT_EQ(peak(split(plan, Split::late)), (std::vector<double>{2 * 100 + 10, 2 * 70 + 100 + 10}));
  // A pass that keeps the graph for the next, W before I: more than one that frees it.
  costs.stages[1].kept_working_bytes = 25;
  EXPECT_EQ(peak(split(plan, Split::weights_first)), (std::vector<double>{2 * 100 + 10, 100 + 25}));
}

}  // namespace
}  // namespace interlock
