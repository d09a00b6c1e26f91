// The choice of a schedule: by memory, by microbatches in flight, by what a placement allows; and what is refused.

#include "parallel/plan/auto_schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "parallel/plan/plan_check.h"
#include "parallel/plan/schedule.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

using testing::HasSubstr;

PlanRequest request_of(const RuleRequest& rule, const PlanShape& shape, const std::string& schedule = "auto") {
  PlanRequest request;
  request.shape = shape;
  request.rule = make_rule(rule, shape.stages);
  request.schedule = schedule;
  return request;
}

SimulationCosts sized_costs(int stages) {
  SimulationCosts costs = SimulationCosts::unit(stages);
  for (StageCosts& stage : costs.stages) stage = {.activation_bytes = 1 << 20, .fixed_bytes = 10 << 20};
  return costs;
}

std::vector<std::string> names_of(const ScheduleChoice& choice) {
  std::vector<std::string> names;
  for (const Candidate& each : choice.candidates) names.push_back(each.schedule);
  std::ranges::sort(names);
  return names;
}

std::string refusal(const PlanRequest& request, const MemoryLimit& memory = {}) {
  try {
    choose_schedule(request, sized_costs(request.shape.stages), memory);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::config);
    return error.what();
  }
  return "not refused";
}

PlanShape placed(int stages, int ranks, const std::string& placement, int microbatches = 16) {
  return {.stages = stages,
          .ranks = ranks,
          .microbatches = microbatches,
          .placement = Placement::named(placement, stages, ranks)};
}

TEST(Auto, TriesWhateverFitsThePlacement) {
  const auto choose = [](const PlanShape& shape) {
    return choose_schedule(request_of({.rule = "global"}, shape), SimulationCosts::unit(shape.stages));
  };
  const std::vector<std::string> any = {"gpipe", "steady", "wavefront", "zero_bubble"};
  EXPECT_EQ(names_of(choose(placed(8, 4, "contiguous"))), any);
  std::vector<std::string> with_v = any, with_loops = any;
  with_v.insert(std::ranges::lower_bound(with_v, "zbv"), "zbv");
  with_loops.insert(std::ranges::lower_bound(with_loops, "interleaved"), "interleaved");
  const ScheduleChoice v = choose(placed(8, 4, "v")), loops = choose(placed(8, 4, "interleaved"));
  EXPECT_EQ(names_of(v), with_v);
  EXPECT_EQ(names_of(loops), with_loops);
  ASSERT_EQ(v.refused.size(), 1u);
  EXPECT_THAT(v.refused[0], HasSubstr("use placement \"interleaved\""));
  ASSERT_EQ(loops.refused.size(), 1u);
  EXPECT_THAT(loops.refused[0], HasSubstr("needs placement \"v\""));
  // A list that says the same is the same.
  PlanShape by_hand = placed(4, 2, "v");
  by_hand.placement = Placement::by_hand({0, 1, 1, 0});
  EXPECT_THAT(names_of(choose(by_hand)), testing::Contains("zbv"));
}

TEST(Auto, TakesThePlainestOfEqualOnes) {
  // On one rank nobody waits, and local learning waits nowhere.
  EXPECT_EQ(make_plan(request_of({.rule = "global"}, placed(4, 1, "contiguous"))).schedule, "wavefront");
  EXPECT_EQ(make_plan(request_of({.rule = "local"}, placed(4, 4, "contiguous"))).schedule, "wavefront");
}

TEST(Auto, IsTheSamePlanEveryTime) {
  for (const std::string rule : {"local", "furthest", "sum", "global", "deep_supervision"}) {
    const PlanRequest request = request_of({.rule = rule}, placed(8, 4, "v"));
    const Plan plan = make_plan(request);
    EXPECT_EQ(print_plan(make_plan(request)), print_plan(plan)) << rule;
    PlanRequest by_name = request;
    by_name.schedule = plan.schedule;
    EXPECT_EQ(print_plan(make_plan(by_name)), print_plan(plan)) << rule;
  }
}

TEST(Auto, FollowsCostsThatWereMeasured) {
  // Heads so slow on the last rank that all others wait for it whatever the order: the plainest is as good as any.
  SimulationCosts costs = SimulationCosts::unit(4);
  costs.stages[3].loss = 50;
  const PlanRequest request = request_of({.rule = "global"}, placed(4, 4, "contiguous", 32));
  EXPECT_EQ(choose_schedule(request, SimulationCosts::unit(4)).plan.schedule, "steady");
  const ScheduleChoice slow = choose_schedule(request, costs);
  EXPECT_LE(slow.candidates.back().step, 1.02 * slow.candidates.front().step);
}

TEST(Auto, KeepsToTheMemory) {
  // Under global learning without a flush, 4 stages: steady keeps 7 microbatches alive, zero_bubble and wavefront 4.
  const PlanRequest request = request_of({.rule = "global"}, placed(4, 4, "contiguous"));
  const auto at = [&](double mib) {
    return choose_schedule(request, sized_costs(4), {.bytes = mib * (1 << 20), .besides = {}});
  };
  double step_before = 0;
  for (int mib = 17; mib >= 11; --mib) {
    const ScheduleChoice choice = at(mib);
    const std::vector<double> peaks = simulate(choice.plan, sized_costs(4)).peak_bytes;
    EXPECT_LE(std::ranges::max(peaks), mib * (1 << 20)) << mib;
    EXPECT_EQ(std::ranges::max(choice.plan.in_flight()), mib - 10) << mib;
    EXPECT_GT(choice.candidates.front().step, step_before) << mib;  // less memory is more time
    step_before = choice.candidates.front().step;
    for (const Candidate& each : choice.candidates) EXPECT_EQ(each.fits, each.peak_bytes <= mib * (1 << 20));
  }
  EXPECT_EQ(print_plan(at(0).plan), print_plan(at(1000).plan));
  // What a rank holds besides takes away from it.
  const MemoryLimit less{.bytes = 17.0 * (1 << 20), .besides = {0, 0, 3.0 * (1 << 20), 0}};
  EXPECT_EQ(print_plan(choose_schedule(request, sized_costs(4), less).plan), print_plan(at(14).plan));
}

TEST(Auto, SaysTheLeastMemoryThatWorks) {
  const PlanRequest request = request_of({.rule = "global"}, placed(4, 4, "contiguous"));
  const MemoryLimit memory{.bytes = 10.5 * (1 << 20), .besides = {}};
  EXPECT_THAT(refusal(request, memory), HasSubstr("parallel.memory_mib = 10: the least that works here is 11 on the "
                                                  "fullest rank"));
  EXPECT_THAT(refusal(request, memory), HasSubstr("1 microbatch in flight"));
  // A schedule by name is held to it as well; what it says works.
  PlanRequest gpipe = request;
  gpipe.schedule = "gpipe";
  EXPECT_THAT(refusal(gpipe, {.bytes = 20.0 * (1 << 20), .besides = {}}), HasSubstr("works here is 26 on"));
  EXPECT_EQ(refusal(gpipe, {.bytes = 26.0 * (1 << 20), .besides = {}}), "not refused");
  EXPECT_EQ(refusal(request, {.bytes = 11.0 * (1 << 20), .besides = {}}), "not refused");
}

TEST(Auto, KeepsToTheMicrobatchesInFlight) {
  PlanRequest request = request_of({.rule = "global"}, placed(4, 4, "contiguous"));
  for (int most = 1; most <= 7; ++most) {
    request.in_flight = most;
    EXPECT_LE(std::ranges::max(make_plan(request).in_flight()), most);
  }
}

TEST(InFlight, IsRefusedWhereItHasNoMeaning) {
  for (const char* schedule : {"wavefront", "gpipe", "interleaved"}) {
    PlanRequest request = request_of({.rule = "global"}, placed(4, 4, "contiguous"), schedule);
    request.in_flight = 3;
    EXPECT_THAT(refusal(request), HasSubstr("parallel.in_flight = 3: schedule \"")) << schedule;
    EXPECT_THROW(make_plan(request), Error);
  }
  for (const char* schedule : {"auto", "steady", "zero_bubble"}) {
    for (const int wrong : {-1, 8, 1 << 30}) {
      PlanRequest request = request_of({.rule = "global"}, placed(4, 4, "contiguous"), schedule);
      request.in_flight = wrong;
      EXPECT_THAT(refusal(request), HasSubstr("it must be from 0 (the schedule's choice) to 7")) << schedule;
      EXPECT_THROW(make_plan(request), Error);
    }
  }
}

TEST(Schedules, OneWithoutAnOrderForTheShapeSaysWhatItNeeds) {
  const auto of = [](const std::string& schedule, const PlanShape& shape) {
    return refusal(request_of({.rule = "global"}, shape, schedule));
  };
  EXPECT_THAT(of("zbv", placed(4, 2, "contiguous")),
              HasSubstr("parallel.placement = contiguous: schedule \"zbv\" needs placement \"v\""));
  EXPECT_THAT(of("zbv", placed(4, 4, "contiguous")), HasSubstr("every rank must hold two stages"));
  EXPECT_THAT(of("zbv", placed(4, 1, "v")), HasSubstr("there are 4 stages on 1 rank"));
  EXPECT_THAT(of("interleaved", placed(4, 2, "contiguous")), HasSubstr("use placement \"interleaved\""));
  EXPECT_EQ(of("interleaved", placed(4, 4, "contiguous")), "not refused");
  EXPECT_EQ(of("zbv", placed(2, 1, "contiguous")), "not refused");
}

// Beyond some size candidates are judged by fewer microbatches: the choice, the times and the memory must be those of
// the whole.
TEST(Auto, JudgesLargePlansByFewerMicrobatches) {
  const int stages = 16, microbatches = 20000;
  PlanRequest request = request_of({.rule = "sum"}, placed(stages, stages, "contiguous", microbatches));
  const SimulationCosts costs = sized_costs(stages);
  const ScheduleChoice choice = choose_schedule(request, costs);
  EXPECT_LT(choice.judged_microbatches, microbatches);
  for (const Candidate& each : choice.candidates) {
    request.schedule = each.schedule;
    const Simulation whole = simulate(make_plan(request), costs);
    EXPECT_NEAR(each.step, whole.step, 1e-3 * whole.step) << each.schedule;
    EXPECT_NEAR(each.idle_share, whole.idle_share, 1e-3) << each.schedule;
    EXPECT_NEAR(each.peak_bytes, std::ranges::max(whole.peak_bytes), 1e-3 * each.peak_bytes) << each.schedule;
  }
}

TEST(Placement, VGoesUpTheRanksAndDownAgain) {
  EXPECT_EQ(Placement::named("v", 4, 2).rank_of_stage(), (std::vector<int>{0, 1, 1, 0}));
  EXPECT_EQ(Placement::named("v", 9, 3).rank_of_stage(), (std::vector<int>{0, 1, 2, 2, 1, 0, 0, 1, 2}));
  EXPECT_EQ(Placement::named("v", 3, 3).rank_of_stage(), (std::vector<int>{0, 1, 2}));
}

}  // namespace
}  // namespace interlock
