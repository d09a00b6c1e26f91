// Times and memory against formulas and small cases worked out by hand.

#include "parallel/plan/simulate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "parallel/plan/plan_check.h"
#include "parallel/plan/step_bounds.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

PlanRequest request_of(const RuleRequest& rule, int stages, int microbatches,
                       const std::string& schedule = "wavefront") {
  PlanRequest request;
  request.shape = {.stages = stages, .ranks = stages, .microbatches = microbatches};
  request.rule = make_rule(rule, stages);
  request.schedule = schedule;
  request.norm_over_model = couples_all_stages(request.rule);
  return request;
}

// Sums of whole units are exact; only the division of the idle share rounds.
constexpr double rounding = 1e-12;

TEST(Simulate, UnitCostsGiveTheFormulas) {
  for (const std::string schedule : {"wavefront", "gpipe"}) {
    for (int stages = 1; stages <= 9; ++stages) {
      for (int m = 1; m <= 20; ++m) {
        SCOPED_TRACE(schedule + " " + std::to_string(stages) + " stages " + std::to_string(m) + " microbatches");
        const auto costs = SimulationCosts::unit(stages);
        const Simulation global = simulate(make_plan(request_of({.rule = "global"}, stages, m, schedule)), costs);
        EXPECT_EQ(global.step, 3 * (m + stages - 1));
        EXPECT_NEAR(global.idle_share, (stages - 1.0) / (m + stages - 1.0), rounding);
        const Simulation local = simulate(make_plan(request_of({.rule = "local"}, stages, m, schedule)), costs);
        EXPECT_EQ(local.step, 3 * m);
        EXPECT_EQ(local.idle_share, 0);
      }
    }
  }
}

TEST(Simulate, ShortHorizonsTakeTheirChainAtOneMicrobatch) {
  // One microbatch: F through N stages, and back: 3 N units per step (learning-rules.md, A6), however deep the network
  // is.
  for (int horizon = 1; horizon <= 5; ++horizon) {
    EXPECT_EQ(
        simulate(make_plan(request_of({.rule = "furthest", .horizon = horizon}, 5, 1)), SimulationCosts::unit(5)).step,
        3 * horizon);
  }
}

TEST(Simulate, TheSteadyStepDoesNotDependOnTheNumberOfSteps) {
  for (const std::string schedule : {"wavefront", "gpipe"}) {
    for (const std::string rule : {"local", "furthest", "sum", "chunked", "global"}) {
      for (int m : {1, 2, 3, 8}) {
        SimulationCosts costs = SimulationCosts::unit(6);
        for (int stage = 0; stage < 5; ++stage) costs.stages[stage].loss = 0.25;
        const Plan plan = make_plan(request_of({.rule = rule, .horizon = 3, .window = 3}, 6, m, schedule));
        // Times are sums of quarters: exact.
        EXPECT_EQ(simulate(plan, costs, 4).step, simulate(plan, costs, 25).step) << rule << " " << schedule << " " << m;
      }
    }
  }
}

TEST(Simulate, TheSlowestStageSetsThePaceOfLocalLearning) {
  SimulationCosts costs = SimulationCosts::unit(4);
  costs.stages[2] = {.forward = 2, .input_gradient = 2, .weight_gradient = 2, .loss = 1, .update = 5};
  const Simulation result = simulate(make_plan(request_of({.rule = "local"}, 4, 3)), costs, 12);
  EXPECT_EQ(result.step, 3 * (2 + 4 + 1) + 5);
  EXPECT_NEAR(result.idle_share_of_rank[2], 0, rounding);
  EXPECT_NEAR(result.idle_share_of_rank[0], 1 - 9.0 / 26.0, rounding);
}

TEST(Simulate, MessagesTakeTheirTime) {
  SimulationCosts costs = SimulationCosts::unit(2);
  costs.latency = 0.5;
  costs.seconds_per_byte = 0.25;
  costs.stages[0].message_bytes = 6;  // 2 units each way
  // F 1, message 2, F 1, B 2, message 2, W 2: one microbatch and a flush.
  EXPECT_EQ(simulate(make_plan(request_of({.rule = "global"}, 2, 1)), costs).step, 1 + 2 + 1 + 2 + 2 + 2);
  // On one rank nothing is sent.
  PlanRequest one = request_of({.rule = "global"}, 2, 1);
  one.shape = {.stages = 2, .ranks = 1, .microbatches = one.shape.microbatches};
  EXPECT_EQ(simulate(make_plan(one), costs).step, 6);
}

// Boundaries 0 and 2 of four stages on two ranks lie between the same ranks: 16 microbatches are 32 messages, whatever
// the order.
TEST(Simulate, ALinkCarriesOneMessageAtATime) {
  SimulationCosts costs = SimulationCosts::unit(4);
  for (StageCosts& stage : costs.stages) stage.message_bytes = 10;
  costs.seconds_per_byte = 1;
  for (const char* schedule : {"wavefront", "gpipe", "interleaved"}) {
    PlanRequest request;
    request.shape = {.stages = 4, .ranks = 2, .microbatches = 16, .placement = Placement::named("interleaved", 4, 2)};
    request.rule = make_rule({.rule = "local"}, 4);
    request.schedule = schedule;
    const Plan plan = make_plan(request);
    EXPECT_EQ(step_bounds(plan, costs).busiest_link, 320) << schedule;
    EXPECT_GE(simulate(plan, costs).step, 320 * (1 - 1e-9)) << schedule;
  }
}

TEST(Simulate, ASenderIsAtMostTwoMessagesAhead) {
  SimulationCosts costs = SimulationCosts::unit(2);
  costs.stages[1].forward = 100;
  const Plan plan = make_plan(request_of({.rule = "local"}, 2, 1));
  const Simulation result = simulate(plan, costs, 8, true);
  std::map<std::pair<int, int>, double> forward_begin;  // (stage, step)
  for (const SimulatedAction& each : result.timeline) {
    const Action& action = plan.ranks[each.rank][each.index];
    if (action.kind == Kind::forward) forward_begin[{action.stage, each.step}] = each.begin;
  }
  // The send of step s waits until the receive of step s - 2 is posted, which is when stage 1 begins that step (102
  // units each); so the forward of step s + 1 on stage 0 cannot begin before.
  for (int step = 2; step + 1 < 8; ++step) EXPECT_GE((forward_begin[{0, step + 1}]), (forward_begin[{1, step - 2}]));
  EXPECT_LT((forward_begin[{0, 2}]), (forward_begin[{1, 1}]));  // two ahead is free
  EXPECT_EQ(result.step, 102);
}

// Every compute action appears once per step, none before what it needs, none overlapping another of its rank.
TEST(Simulate, TheTimelineIsAPossibleOne) {
  const Plan plan = make_plan(request_of({.rule = "sum", .horizon = 3}, 4, 5));
  const Simulation result = simulate(plan, SimulationCosts::unit(4), 3, true);
  size_t computes = 0;
  for (const auto& rank : plan.ranks)
    computes += std::count_if(rank.begin(), rank.end(), [](const Action& a) { return is_compute(a.kind); });
  EXPECT_EQ(result.timeline.size(), 3 * computes);
  std::map<std::tuple<int, int, int>, double> forward_end;
  for (const SimulatedAction& each : result.timeline) {
    const Action& action = plan.ranks[each.rank][each.index];
    if (action.kind == Kind::forward) forward_end[{each.step, action.stage, action.microbatch}] = each.end;
  }
  for (size_t i = 0; i < result.timeline.size(); ++i) {
    const SimulatedAction& each = result.timeline[i];
    if (i > 0 && result.timeline[i - 1].rank == each.rank) {
      EXPECT_GE(each.begin, result.timeline[i - 1].end);
    }
    const Action& action = plan.ranks[each.rank][each.index];
    if (action.kind == Kind::forward && action.stage > 0) {
      EXPECT_GE(each.begin, (forward_end[{each.step, action.stage - 1, action.microbatch}]));
    }
  }
}

TEST(Simulate, PeakMemoryCountsFixedAliveAndBuffers) {
  SimulationCosts costs = SimulationCosts::unit(2);
  costs.stages[0] = {.message_bytes = 1, .activation_bytes = 10, .fixed_bytes = 1000};
  costs.stages[1] = {.activation_bytes = 100, .fixed_bytes = 2000};
  const Plan pipe = make_plan(request_of({.rule = "global"}, 2, 4));
  const std::vector<double> peak = simulate(pipe, costs).peak_bytes;
  // 1F1B: stage 0 keeps two microbatches and one or two gradients on their way, stage 1 one microbatch and the next
  // input.
  EXPECT_GE(peak[0], 1000 + 2 * 10 + 1);
  EXPECT_LE(peak[0], 1000 + 2 * 10 + 2);
  EXPECT_GE(peak[1], 2000 + 100 + 1);
  EXPECT_LE(peak[1], 2000 + 100 + 2);
  const Plan gpipe = make_plan(request_of({.rule = "global"}, 2, 4, "gpipe"));
  EXPECT_GE(simulate(gpipe, costs).peak_bytes[0], 1000 + 4 * 10);
  // Two stages on one rank: all activations alive at once, no buffers.
  PlanRequest one = request_of({.rule = "global"}, 2, 4);
  one.shape = {.stages = 2, .ranks = 1, .microbatches = one.shape.microbatches};
  EXPECT_EQ(simulate(make_plan(one), costs).peak_bytes[0], 3000 + 110);
}

TEST(Simulate, PeakMemoryOfAPlanByHand) {
  const Plan plan = parse_plan(
      "interlock plan 1\nstages 2\nranks 2\nreplicas 1\nmicrobatches 2\nplacement contiguous\nschedule by hand\nheads "
      "needed\n"
      "norm_over_model no\ntied no\nevaluation no\nrule global\nmatrix\n0 1\n0 1\n"
      "rank 0: 0RECV_B0@1 0RECV_B1@1 0F0 0SEND_F0 0F1 0SEND_F1 0W0 0W1 0U\n"
      "rank 1: 1RECV_F0 1RECV_F1 1F0 1L0 1B0@1 1SEND_B0@1 1F1 1L1 1B1@1 1SEND_B1@1 1U\n",
      "hand");
  ASSERT_FALSE(find_fault(plan));
  SimulationCosts costs = SimulationCosts::unit(2);
  costs.stages[0] = {.message_bytes = 1, .activation_bytes = 10, .fixed_bytes = 1000};
  costs.stages[1] = {.activation_bytes = 100, .fixed_bytes = 2000};
  // Rank 0: two buffers, two microbatches. Rank 1: the input of microbatch 0 is being copied into its activations while
  // that of microbatch 1 waits: two buffers and one microbatch.
  EXPECT_EQ(simulate(plan, costs).peak_bytes, (std::vector<double>{1000 + 2 + 20, 2000 + 2 + 100}));
}

TEST(Simulate, PeakMemoryCountsSumsFromTheLastMicrobatchOn) {
  PlanRequest request = request_of({.rule = "global"}, 2, 4);
  request.shape.replicas = 2;
  request.shape.ranks = 2;
  SimulationCosts costs = SimulationCosts::unit(2);
  costs.stages[0] = {.activation_bytes = 10, .fixed_bytes = 1000, .sum_bytes = 15};
  costs.stages[1] = {.activation_bytes = 100, .fixed_bytes = 2000, .sum_bytes = 150, .head_sum_bytes = 7};
  // Stage 0 held two microbatches before, more than its sum. On stage 1 the head's sum is under way during the last
  // pass, and the body's joins it when the microbatch has gone.
  EXPECT_EQ(simulate(make_plan(request), costs).peak_bytes, (std::vector<double>{1000 + 20, 2000 + 150 + 7}));
  costs.stages[1].sum_bytes = 50;
  EXPECT_EQ(simulate(make_plan(request), costs).peak_bytes[1], 2000 + 100 + 7);
}

TEST(Simulate, PeakMemoryOfAStageThatKeepsNoGraph) {
  // Nothing trains below stage 2. Stages 0 and 1 hold of a microbatch its output; while a forward runs, what that
  // needs, and stage 1 the input and the next one.
  const PlanRequest request = request_of({.rule = "global", .untrained = {0, 1}}, 3, 4);
  SimulationCosts costs = SimulationCosts::unit(3);
  for (StageCosts& stage : costs.stages)
    stage = {.message_bytes = 1, .activation_bytes = 100, .fixed_bytes = 1000, .forward_working_bytes = 10};
  const std::vector<double> peak = simulate(make_plan(request), costs).peak_bytes;
  // Stage 2 takes three units for what comes every unit: while W0 runs, the inputs of all three others have come.
  EXPECT_EQ(peak, (std::vector<double>{1000 + 10, 1000 + 10 + 2, 1000 + 100 + 3}));
}

TEST(BreakEven, StagesThatDoNotTrainAreComparedAsSuch) {
  const SimulationCosts costs = SimulationCosts::unit(4);
  const RuleRequest local{.rule = "local", .untrained = {0, 1, 2}};
  EXPECT_FALSE(has_break_even_formula(local, "wavefront"));
  EXPECT_TRUE(has_break_even_formula({.rule = "local"}, "wavefront"));
  EXPECT_TRUE(has_break_even_formula({.rule = "local"}, "gpipe"));
  EXPECT_FALSE(has_break_even_formula({.rule = "local"}, "auto"));
  EXPECT_FALSE(has_break_even_formula({.rule = "sum", .frozen = {1}}, "wavefront"));
  EXPECT_FALSE(has_break_even_formula({.rule = "global"}, "wavefront"));
  // Only the last stage trains, from its own loss: with these stages frozen, this is global learning.
  EXPECT_EQ(break_even_microbatches(request_of(local, 4, 4), local, costs, 64), 0);
}

TEST(BreakEven, FormulasForFurthestAndSum) {
  const SimulationCosts costs = SimulationCosts::unit(8);
  const auto m_star = [&](const RuleRequest& rule, const SimulationCosts& with) {
    return break_even_microbatches(request_of(rule, 8, 4), rule, with);
  };
  EXPECT_NEAR(m_star({.rule = "furthest", .horizon = 2}, costs), 18, rounding);
  EXPECT_NEAR(m_star({.rule = "sum", .horizon = 3}, costs), 7.5, rounding);
  EXPECT_EQ(m_star({.rule = "furthest", .horizon = 8}, costs), 0);
  EXPECT_LT(m_star({.rule = "local"}, costs), 0);  // never slower without heads
  SimulationCosts heads = costs;
  for (StageCosts& stage : heads.stages) stage.loss = 0.25;
  EXPECT_NEAR(m_star({.rule = "furthest", .horizon = 2}, heads), 14.4,
              1e-9);  // a mean of seven quarters rounds a little
  EXPECT_NEAR(m_star({.rule = "local"}, heads), 84, 1e-9);
}

// Under their best schedules: m (2 + N) against 3 m + K - 1, the bubble of ZB-H1, where every step flushes.
TEST(BreakEven, EachRuleHasItsBestSchedule) {
  const SimulationCosts costs = SimulationCosts::unit(8);
  for (const int horizon : {2, 3}) {
    const RuleRequest rule{.rule = "sum", .horizon = horizon};
    PlanRequest request = request_of(rule, 8, 4, "auto");
    request.norm_over_model = true;  // of both: whatever the rule, a step of it flushes
    const double crossing = break_even_microbatches(request, rule, costs, 64);
    request.shape.microbatches = static_cast<int>(crossing);
    PlanRequest global = request;
    global.rule = make_rule({.rule = "global"}, 8);
    EXPECT_LE(simulate(make_plan(global), costs).step, simulate(make_plan(request), costs).step);
    --request.shape.microbatches;
    --global.shape.microbatches;
    EXPECT_GT(simulate(make_plan(global), costs).step, simulate(make_plan(request), costs).step);
  }
}

TEST(BreakEven, OtherMatricesAreSimulated) {
  const SimulationCosts costs = SimulationCosts::unit(4);
  const RuleRequest chunked{.rule = "chunked", .window = 2};
  // Chunks of two do no extra pass: 3 (m + 1) against 3 (m + 3), always faster.
  EXPECT_LT(break_even_microbatches(request_of(chunked, 4, 4), chunked, costs, 64), 0);
  const RuleRequest global{.rule = "global"};
  EXPECT_EQ(break_even_microbatches(request_of(global, 4, 4), global, costs, 64), 0);
  // One extra stream on every boundary: the simulated crossing is where the steps cross.
  const RuleRequest matrix{.rule = "matrix", .matrix = {{1, 1, 0, 0}, {0, 1, 1, 0}, {0, 0, 1, 1}, {0, 0, 0, 1}}};
  const double crossing = break_even_microbatches(request_of(matrix, 4, 4), matrix, costs, 64);
  ASSERT_GT(crossing, 1);
  const auto step = [&](const RuleRequest& rule, double m) {
    return simulate(make_plan(request_of(rule, 4, static_cast<int>(m))), costs).step;
  };
  EXPECT_LE(step(global, crossing), step(matrix, crossing));
  EXPECT_GT(step(global, crossing - 1), step(matrix, crossing - 1));
}

}  // namespace
}  // namespace interlock
