// Random rules, shapes and placements: the plan is made, proved, printed and read back, and then executed on all ranks
// in a random interleaving with numbers modulo a 61-bit prime; gradients, head gradients and losses of two steps must
// equal the direct formula of the matrix.

#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "parallel/plan/deferred_weights.h"
#include "parallel/plan/plan_check.h"
#include "tests/support/plan_interpreter.h"
#include "tests/support/random_plan.h"

namespace interlock {
namespace {

// INTERLOCK_CASES sets another number (a longer night run); 10,000 take a few seconds.
uint64_t num_cases() {
  const char* asked = std::getenv("INTERLOCK_CASES");
  return asked ? std::strtoull(asked, nullptr, 10) : 10000;
}

void expect_same(const Plan& read, const Plan& plan) {
  ASSERT_EQ(read.ranks, plan.ranks);
  ASSERT_EQ(read.rule.weights, plan.rule.weights);
  ASSERT_EQ(read.rule.name, plan.rule.name);
  ASSERT_EQ(read.rule.frozen, plan.rule.frozen);
  ASSERT_EQ(read.schedule, plan.schedule);
  ASSERT_EQ(print_plan(read), print_plan(plan));  // covers shape, heads and flags
}

TEST(PlanProperty, PlansDoWhatTheMatrixSays) {
  for (uint64_t seed = 0; seed < num_cases(); ++seed) {
    const PlanRequest request = random_request(seed);
    const Plan plan = make_plan(request);
    SCOPED_TRACE("seed " + std::to_string(seed) + "\n" + print_plan(plan));
    ASSERT_EQ(compare_with_direct(plan, 2, seed, seed % 4 == 0), "");
    expect_same(parse_plan(print_plan(plan), "printed"), plan);
    if (HasFatalFailure()) return;
    const std::vector<int> in_flight = plan.in_flight();
    for (int stage = 0; stage < plan.shape.stages; ++stage) {
      if (request.schedule == "wavefront") {
        ASSERT_LE(in_flight[stage], plan.flows.reach[stage] + 1) << "stage " << stage;
      } else if (request.in_flight > 0) {
        ASSERT_LE(in_flight[stage], request.in_flight) << "stage " << stage;
      }
    }
  }
}

// I and W in place of B, in both orders and W as late as it likes: the same sums. How many W are deferred is counted by
// who runs the plan, and by who reads it.
TEST(PlanProperty, SplitPlansDoWhatTheMatrixSays) {
  int64_t deferred = 0, walked = 0;
  for (uint64_t seed = 0; seed < num_cases(); ++seed) {
    const Plan plan = split_at_random(make_plan(random_request(seed)), seed);
    SCOPED_TRACE("seed " + std::to_string(seed) + "\n" + print_plan(plan));
    const auto fault = find_fault(plan);
    ASSERT_FALSE(fault) << fault->reason;
    ASSERT_EQ(compare_with_direct(plan, 2, seed, seed % 4 == 0), "");
    int64_t per_step = 0;
    for (const WeightPasses& passes : weight_passes(plan)) {
      per_step += passes.deferred;
      walked += passes.all - passes.deferred;
    }
    ASSERT_EQ(interpret(plan, 2, seed, false).deferred, 2 * plan.shape.replicas * per_step);
    deferred += per_step;
  }
  EXPECT_GT(deferred, static_cast<int64_t>(num_cases()));
  EXPECT_GT(walked, static_cast<int64_t>(num_cases()));
}

TEST(PlanProperty, EvaluationPlansRunTheLastLossOnly) {
  for (uint64_t seed = 0; seed < num_cases() / 10; ++seed) {
    PlanRequest request = random_request(seed);
    request.shape.replicas = 1;  // an evaluation reduces nothing over replicas, the caller adds the losses up
    const Plan plan = make_evaluation_plan(request.shape, request.rule);
    SCOPED_TRACE("seed " + std::to_string(seed) + "\n" + print_plan(plan));
    ASSERT_EQ(compare_with_direct(plan, 1, seed, false), "");
    expect_same(parse_plan(print_plan(plan), "printed"), plan);
    if (HasFatalFailure()) return;
  }
}

// What plan_check lets pass must run and be right, whatever was done to the plan. Goes on until num_cases() changed
// plans were refused.
TEST(PlanProperty, WhatTheCheckAcceptsRunsRight) {
  uint64_t accepted = 0, refused = 0;
  for (uint64_t seed = 0; refused < num_cases(); ++seed) {
    Plan plan = make_plan(random_request(seed));
    std::mt19937_64 random(seed);
    std::vector<Action>& list = plan.ranks[random() % plan.ranks.size()];
    const size_t from = random() % list.size(), to = random() % list.size();
    switch (random() % 4) {
      case 0:
        std::swap(list[from], list[to]);
        break;
      case 1:
        std::swap(list[from], list[std::min(from + 1, list.size() - 1)]);
        break;
      case 2: {
        const Action moved = list[from];
        list.erase(list.begin() + static_cast<int64_t>(from));
        list.insert(list.begin() + static_cast<int64_t>(std::min(to, list.size())), moved);
        break;
      }
      default:
        list[from].microbatch = static_cast<int>(random() % plan.shape.microbatches);
        break;
    }
    if (find_fault(plan)) {
      ++refused;
      continue;
    }
    ++accepted;
    SCOPED_TRACE("seed " + std::to_string(seed) + "\n" + print_plan(plan));
    ASSERT_EQ(compare_with_direct(plan, 2, seed, false), "");
  }
  // Both kinds must occur often, or the test shows nothing.
  EXPECT_GT(accepted, num_cases() / 20);
}

// The interpreter itself must notice wrong plans: a weight, a stream and an order that are not the rule's.
TEST(PlanProperty, TheInterpreterNoticesWrongPlans) {
  PlanRequest request;
  request.shape = {.stages = 4, .ranks = 4, .microbatches = 3};
  request.rule = make_rule({.rule = "sum", .horizon = 3}, 4);
  const Plan right = make_plan(request);
  ASSERT_EQ(compare_with_direct(right, 2, 1, false), "");

  Plan weight = right;
  weight.flows.stages[1].teach.front().weight *= 2;
  EXPECT_NE(compare_with_direct(weight, 2, 1, false), "");

  Plan rule = right;
  rule.rule = make_rule({.rule = "sum", .horizon = 2}, 4);
  EXPECT_NE(compare_with_direct(rule, 2, 1, false), "");

  Plan early = right;  // the update before the last pass
  std::vector<Action>& list = early.ranks[0];
  std::swap(list[list.size() - 1], list[list.size() - 2]);
  EXPECT_NE(compare_with_direct(early, 2, 1, false), "");

  Plan factor = split_at_random(right, 2);  // of what W makes of the records of I
  ASSERT_EQ(compare_with_direct(factor, 2, 1, false), "");
  ASSERT_GT(interpret(factor, 2, 1, false).deferred, 0);
  for (StageFlow& flow : factor.flows.stages) flow.joint_factor *= 2;
  EXPECT_NE(compare_with_direct(factor, 2, 1, false), "");

  Plan crossed = right;  // two sends of one lane the other way round
  std::vector<Action*> sends;
  for (Action& action : crossed.ranks[0]) {
    if (action.kind == Kind::send_forward) sends.push_back(&action);
  }
  ASSERT_GE(sends.size(), 2u);
  std::swap(*sends[0], *sends[1]);
  EXPECT_NE(compare_with_direct(crossed, 2, 1, true), "");
}

}  // namespace
}  // namespace interlock
