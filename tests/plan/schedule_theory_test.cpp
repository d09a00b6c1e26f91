// The schedules against what theory says about them, in unit costs: forward, input gradient and weight gradient 1 each,
// a W that walks the body 2.

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "parallel/plan/auto_schedule.h"
#include "parallel/plan/step_bounds.h"
#include "tests/support/random_plan.h"

namespace interlock {
namespace {

// Sums of whole units are exact; only the division of an idle share rounds.
constexpr double rounding = 1e-12;

struct Case {
  RuleRequest rule = {.rule = "global"};
  int stages = 8, ranks = 8;
  std::string placement = "contiguous";
  int microbatches = 32;
  bool flushes = false;
  int in_flight = 0;
};

PlanRequest request_of(const std::string& schedule, const Case& each) {
  PlanRequest request;
  request.shape = {.stages = each.stages, .ranks = each.ranks, .microbatches = each.microbatches};
  request.shape.placement = Placement::named(each.placement, each.stages, each.ranks);
  request.rule = make_rule(each.rule, each.stages);
  request.schedule = schedule;
  request.norm_over_model = each.flushes;
  request.in_flight = each.in_flight;
  return request;
}

struct Outcome {
  Plan plan;
  Simulation simulation;
  int in_flight = 0;  // at any stage
  double bound = 0;
};

Outcome outcome(const std::string& schedule, const Case& each) {
  Outcome result;
  result.plan = make_plan(request_of(schedule, each));
  const SimulationCosts costs = SimulationCosts::unit(each.stages);
  result.simulation = simulate(result.plan, costs);
  result.in_flight = std::ranges::max(result.plan.in_flight());
  result.bound = step_bounds(result.plan, costs).best();
  return result;
}

// Every step flushes: the last rank cannot start before K - 1 forwards, and does 3 m units from there on.
TEST(ZeroBubble, ReachesTheBoundOfAFlushWithinTheMemoryOf1F1B) {
  const Outcome h1 = outcome("zero_bubble", {.microbatches = 32, .flushes = true});
  EXPECT_NEAR(h1.simulation.idle_share, 7.0 / 103, rounding);
  const Outcome one_forward_one_backward = outcome("wavefront", {.microbatches = 32, .flushes = true});
  EXPECT_NEAR(one_forward_one_backward.simulation.idle_share, 21.0 / 117, rounding);
  EXPECT_LE(h1.in_flight, one_forward_one_backward.in_flight);
  for (const int stages : {2, 3, 4, 5, 6, 8, 12, 16}) {
    for (const int m : {1, 2, 3, 4, 7, 8, 16, 33, 48}) {
      const Case each{.stages = stages, .ranks = stages, .microbatches = m, .flushes = true};
      const Outcome zero = outcome("zero_bubble", each);
      // With few microbatches stage 0 waits longer than the last: for the way up and down of the first, 2 K - 1, before
      // its m weight gradients, which walk the body since no input gradient does.
      EXPECT_EQ(zero.simulation.step, std::max(3 * m + stages - 1, 2 * stages - 1 + 2 * m)) << stages << " " << m;
      EXPECT_EQ(zero.simulation.step, zero.bound) << stages << " " << m;
      EXPECT_LE(zero.in_flight, outcome("wavefront", each).in_flight) << stages << " " << m;
    }
  }
}

// Each microbatch more than 1F1B's takes a unit off the idle time of a pipeline that does not flush.
TEST(ZeroBubble, WaitsForNothingWithTwiceTheMicrobatchesInFlight) {
  for (const int stages : {2, 4, 8, 16}) {
    for (int more = 0; more < stages; ++more) {
      const int m = 4 * stages;
      const Outcome zero =
          outcome("zero_bubble", {.stages = stages, .ranks = stages, .microbatches = m, .in_flight = stages + more});
      EXPECT_EQ(zero.simulation.step, 3 * m + stages - 1 - more) << stages << " stages, " << more << " more";
      EXPECT_EQ(zero.in_flight, stages + more);
      EXPECT_LE(zero.simulation.idle_share, more + 1 == stages ? 0.01 : 1.0);
    }
  }
}

TEST(Zbv, FillsOnceAndThenWaitsForNothing) {
  const Outcome flush = outcome("zbv", {.stages = 16, .placement = "v", .microbatches = 32, .flushes = true});
  EXPECT_NEAR(flush.simulation.idle_share, 7.0 / 199, rounding);
  for (const int ranks : {1, 2, 3, 4, 8}) {
    for (const int m : {2 * ranks, 2 * ranks + 1, 4 * ranks, 32}) {
      Case each{.stages = 2 * ranks, .ranks = ranks, .placement = "v", .microbatches = m, .flushes = true};
      EXPECT_EQ(outcome("zbv", each).simulation.step, 6 * m + ranks - 1) << ranks << " " << m;
      each.flushes = false;
      const Plan zbv = make_plan(request_of("zbv", each));
      SimulationCosts costs = SimulationCosts::unit(each.stages);
      for (StageCosts& stage : costs.stages) stage.activation_bytes = 1;
      const Simulation simulation = simulate(zbv, costs);
      EXPECT_EQ(simulation.step, 6 * m) << ranks << " " << m;
      // Stages alive on a rank: no more than 1F1B keeps, on its first, of stages twice as large.
      EXPECT_LE(std::ranges::max(simulation.peak_bytes), 2 * ranks) << ranks << " " << m;
    }
  }
}

// (K - 1) / (v m + K - 1) for any number of microbatches from K on. Below that no order that does I and W together can:
// the last stage does its 3 m units after v K - 1 forwards, and its last gradient goes down through v K - 1 stages
// of 2.
TEST(Interleaved, FillsOncePerStepWithAnyNumberOfMicrobatches) {
  for (const int rounds : {1, 2, 3, 4}) {
    for (const int ranks : {1, 2, 4, 8}) {
      for (const int m : {1, 2, 3, 4, 5, 7, 8, 9, 11, 13, 16, 19, 32}) {
        const int stages = rounds * ranks;
        const Outcome looped =
            outcome("interleaved",
                    {.stages = stages, .ranks = ranks, .placement = "interleaved", .microbatches = m, .flushes = true});
        EXPECT_EQ(looped.simulation.step, 3 * std::max(rounds * m + ranks - 1, stages + m - 1))
            << rounds << " rounds, " << ranks << " ranks, " << m << " microbatches";
        if (m < ranks) continue;
        EXPECT_NEAR(looped.simulation.idle_share, (ranks - 1.0) / (rounds * m + ranks - 1), rounding);
      }
    }
  }
}

TEST(Interleaved, IsOneForwardOneBackwardWithOneStagePerRank) {
  for (const int m : {1, 3, 8, 13}) {
    const Case each{.stages = 4, .ranks = 4, .microbatches = m, .flushes = true};
    EXPECT_EQ(outcome("interleaved", each).plan.ranks, outcome("wavefront", each).plan.ranks) << m;
  }
}

// The larger of the busiest rank, m (3 + N - 1) where W walks, and of the rule's own chain: N forwards, N - 1 input
// gradients, W, and the next forward. With 4 stages and N = 3 no rank is that busy: stage 2 passes on what teaches it.
// Then 9 units are a bound at m = 2, but not to be reached: stage 1 would have to teach from 5 to 9 without a break,
// its four other passes would have to lie before, and so both of its streams of loss 2 at 3 and 4, but stage 2 has done
// no more than one of those, two forwards, by then.
TEST(Steady, KeepsEveryShortHorizonAtItsPace) {
  for (const std::string rule : {"local", "furthest", "sum"}) {
    for (const int horizon : {2, 3}) {
      for (const int stages : {4, 8, 16}) {
        for (const int m : {1, 2, 8}) {
          SCOPED_TRACE(rule + " " + std::to_string(horizon) + ", " + std::to_string(stages) + " stages, " +
                       std::to_string(m) + " microbatches");
          const Case each{
              .rule = {.rule = rule, .horizon = horizon}, .stages = stages, .ranks = stages, .microbatches = m};
          const Outcome steady = outcome("steady", each);
          const int formula = rule == "local" ? 3 * m : std::max(m * (2 + horizon), 2 * horizon + 1);
          EXPECT_LE(steady.simulation.step, 1.01 * formula);
          const bool is_proved_above = rule == "furthest" && horizon == 3 && stages == 4 && m == 2;
          EXPECT_EQ(steady.simulation.step, is_proved_above ? 10 : steady.bound);
          // The smallest number: with one less it is slower.
          if (steady.in_flight == 1) continue;
          Case fewer = each;
          fewer.in_flight = steady.in_flight - 1;
          EXPECT_GT(outcome("steady", fewer).simulation.step, steady.simulation.step);
        }
      }
    }
  }
}

TEST(Steady, IsZeroBubbleUnderGlobalLearning) {
  for (const int stages : {2, 4, 8}) {
    const Outcome steady = outcome("steady", {.stages = stages, .ranks = stages, .microbatches = 32});
    EXPECT_EQ(steady.simulation.step, 96);
    EXPECT_EQ(steady.in_flight, 2 * stages - 1);
  }
}

TEST(Auto, ReachesTheBoundUnderGlobalLearning) {
  for (const bool flushes : {true, false}) {
    for (const int stages : {4, 8, 16}) {
      for (const int m : {1, 2, 4, 8, 16, 32, 64}) {
        const Outcome chosen =
            outcome("auto", {.stages = stages, .ranks = stages, .microbatches = m, .flushes = flushes});
        EXPECT_LE(chosen.simulation.step, 1.03 * chosen.bound) << flushes << " " << stages << " " << m;
        EXPECT_NE(chosen.plan.schedule, "auto");
      }
    }
  }
}

SimulationCosts random_costs(int stages, uint64_t seed) {
  SimulationCosts costs = SimulationCosts::unit(stages);
  if (seed % 2 == 0) return costs;
  std::mt19937_64 random(seed);
  const auto units = [&](int most) { return static_cast<double>(random() % (4 * most + 1)) / 4; };
  for (StageCosts& stage : costs.stages) {
    stage = {.forward = units(3), .input_gradient = units(3), .weight_gradient = units(3), .loss = units(1)};
    stage.update = units(2);
    stage.message_bytes = units(4);
    stage.activation_bytes = units(9);
  }
  costs.latency = units(1);
  costs.seconds_per_byte = 0.25;
  costs.tied_bytes = units(3);
  return costs;
}

// No schedule is below a bound, whatever the rule, the placement and the costs; and the choice is the fastest.
TEST(StepBounds, NoScheduleIsBelowOne) {
  for (uint64_t seed = 0; seed < 3000; ++seed) {
    PlanRequest request = random_request(seed);
    request.schedule = "auto";
    request.in_flight = 0;
    const SimulationCosts costs = random_costs(request.shape.stages, seed);
    const ScheduleChoice choice = choose_schedule(request, costs);
    const double bound = step_bounds(choice.plan, costs).best();
    ASSERT_FALSE(choice.candidates.empty());
    EXPECT_EQ(choice.plan.schedule, choice.candidates.front().schedule);
    for (const Candidate& each : choice.candidates) {
      EXPECT_GE(each.step, bound * (1 - 1e-9)) << "seed " << seed << " " << each.schedule;
      EXPECT_GE(each.step, choice.candidates.front().step * (1 - 1e-9)) << "seed " << seed << " " << each.schedule;
    }
  }
}

// By hand: two stages, one microbatch, a norm over the model, unlike costs.
TEST(StepBounds, OfASmallCaseByHand) {
  PlanRequest request = request_of("wavefront", {.stages = 2, .ranks = 2, .microbatches = 1, .flushes = true});
  SimulationCosts costs = SimulationCosts::unit(2);
  costs.stages[0] = {.forward = 2, .input_gradient = 3, .weight_gradient = 50, .loss = 100, .update = 7};
  costs.stages[1] = {.forward = 11, .input_gradient = 13, .weight_gradient = 17, .loss = 19, .update = 23};
  costs.stages[0].message_bytes = 2;
  costs.seconds_per_byte = 0.5;
  costs.latency = 1;
  const StepBounds bounds = step_bounds(make_plan(request), costs);
  EXPECT_EQ(bounds.busiest_rank, 11 + 13 + 17 + 19 + 23);
  // U of stage 0 after the norm, F, message, F, L, I of stage 1, message, W of stage 0, which walks its body.
  EXPECT_EQ(bounds.longest_chain, 7 + 2 + 2 + 11 + 19 + 13 + 2 + 3 + 50);
  request.norm_over_model = false;
  EXPECT_EQ(step_bounds(make_plan(request), costs).longest_chain, 2 + 2 + 11 + 19 + 13 + 2 + 3 + 50);
  // Of more microbatches, what a rank cannot begin earlier: all W of stage 0 after the first one's way.
  request.shape.microbatches = 3;
  EXPECT_EQ(step_bounds(make_plan(request), costs).waiting_rank, 2 + 2 + 11 + 19 + 13 + 2 + 3 * (3 + 50));
}

}  // namespace
}  // namespace interlock
