// What a transport without tags needs of a plan: that every plan we make has it, that what the proof accepts runs on
// devices with queues, and that what it refuses would not.
#include "parallel/plan/pair_order.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <random>

#include "runtime/core/error.h"
#include "tests/support/device_run.h"
#include "tests/support/random_plan.h"

namespace interlock {
namespace {

using testing::HasSubstr;

uint64_t num_cases() {
  const char* asked = std::getenv("INTERLOCK_CASES");
  return asked ? std::strtoull(asked, nullptr, 10) : 10000;
}

TEST(PairOrder, EveryPlanThatIsMadeKeepsItAndRunsOnDevicesWithQueues) {
  for (uint64_t seed = 0; seed < num_cases(); ++seed) {
    const PlanRequest request = random_request(seed);
    Plan plan = make_plan(request);
    if (seed % 3 == 0) plan = split_at_random(plan, seed);
    SCOPED_TRACE("seed " + std::to_string(seed) + "\n" + print_plan(plan));
    const auto fault = find_pair_fault(plan);
    ASSERT_FALSE(fault) << fault->reason;
    ASSERT_EQ(run_on_devices(plan, 2, seed, StreamLayout::per_pair), "");
    const Plan evaluation = make_evaluation_plan(request.shape, request.rule);
    ASSERT_FALSE(find_pair_fault(evaluation));
    ASSERT_EQ(run_on_devices(evaluation, 1, seed, StreamLayout::per_pair), "");
  }
}

// Neighbouring messages of one rank change places: lanes keep their order, so plan_check accepts most of these plans.
TEST(PairOrder, WhatItAcceptsRunsAndWhatItRefusesMeetsTheWrongReceive) {
  int accepted = 0, refused = 0;
  for (uint64_t seed = 0; seed < num_cases(); ++seed) {
    Plan plan = make_plan(random_request(seed));
    std::mt19937_64 random(seed);
    std::vector<Action>& list = plan.ranks[random() % plan.ranks.size()];
    std::vector<size_t> receives;
    for (size_t i = 0; i < list.size(); ++i)
      if (is_receive(list[i].kind)) receives.push_back(i);
    if (receives.size() < 2) continue;
    const size_t first = random() % (receives.size() - 1);
    std::swap(list[receives[first]], list[receives[first + 1]]);
    if (find_fault(plan)) continue;
    SCOPED_TRACE("seed " + std::to_string(seed) + "\n" + print_plan(plan));
    const bool fault = find_pair_fault(plan).has_value();
    ++(fault ? refused : accepted);
    ASSERT_EQ(run_on_devices(plan, 2, seed, StreamLayout::per_pair),
              fault ? "a message meets the receive of another one" : "");
  }
  EXPECT_GT(accepted, static_cast<int>(num_cases() / 100));
  EXPECT_GT(refused, static_cast<int>(num_cases() / 100));
}

// Why directions have streams of their own: on one stream a post that waits for its message holds up what the other
// side needs first.
TEST(PairOrder, OneStreamForAllMessagesWouldDeadlock) {
  PlanRequest request;
  request.shape = {.stages = 4, .ranks = 4, .microbatches = 8};
  request.rule = make_rule({.rule = "global"}, 4);
  const Plan plan = make_plan(request);
  EXPECT_EQ(run_on_devices(plan, 1, 1, StreamLayout::one), "deadlock");
  EXPECT_EQ(run_on_devices(plan, 1, 1, StreamLayout::per_pair), "");
}

TEST(PairOrder, AFaultIsShownWithBothSidesAndWhatToDo) {
  PlanRequest request;
  request.shape = {.stages = 2, .ranks = 2, .microbatches = 2};
  request.rule = make_rule({.rule = "global"}, 2);
  Plan plan = make_plan(request);
  std::vector<Action>& list = plan.ranks[1];
  std::vector<Action*> receives;
  for (Action& action : list)
    if (is_receive(action.kind)) receives.push_back(&action);
  ASSERT_EQ(receives.size(), 2u);
  std::swap(*receives[0], *receives[1]);
  try {
    check_pair_order(plan);
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::config);
    EXPECT_THAT(error.what(), HasSubstr("0SEND_F0 is message 0 to rank 1, which posts 1RECV_F1 at that place"));
    EXPECT_THAT(error.what(), HasSubstr("parallel.transport = \"mpi\""));
  }
}

TEST(PairOrder, PairsAreThoseOfNeighbouringStagesOfEveryReplica) {
  using Pairs = std::vector<std::pair<int, int>>;
  EXPECT_EQ(message_pairs({.stages = 1, .ranks = 1}), Pairs{});
  EXPECT_EQ(message_pairs({.stages = 4, .ranks = 2, .placement = Placement::named("contiguous", 4, 2)}),
            (Pairs{{0, 1}, {1, 0}}));
  EXPECT_EQ(message_pairs({.stages = 3, .ranks = 3, .replicas = 2}),
            (Pairs{{0, 1}, {1, 0}, {1, 2}, {2, 1}, {3, 4}, {4, 3}, {4, 5}, {5, 4}}));
  EXPECT_EQ(message_pairs({.stages = 6, .ranks = 3, .placement = Placement::named("interleaved", 6, 3)}),
            (Pairs{{0, 1}, {0, 2}, {1, 0}, {1, 2}, {2, 0}, {2, 1}}));
}

}  // namespace
}  // namespace interlock
