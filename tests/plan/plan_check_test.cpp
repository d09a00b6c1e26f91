// Every kind of fault is found, and told so that a person understands it.

#include "parallel/plan/plan_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "runtime/core/error.h"

namespace interlock {
namespace {

using testing::AllOf;
using testing::HasSubstr;

Plan sample(int replicas = 2, bool norm = true) {
  PlanRequest request;
  request.shape = {.stages = 4,
                   .ranks = 2,
                   .replicas = replicas,
                   .microbatches = 3,
                   .placement = Placement::named("interleaved", 4, 2)};
  request.rule = make_rule({.rule = "sum", .horizon = 3}, 4);
  request.norm_over_model = norm;
  return make_plan(request);
}

std::vector<Action>& list_with(Plan& plan, const std::string& word, size_t& at) {
  for (auto& list : plan.ranks) {
    for (at = 0; at < list.size(); ++at) {
      if (text_of(list[at], plan.flows) == word) return list;
    }
  }
  ADD_FAILURE() << "no action " << word << " in\n" << print_plan(plan);
  return plan.ranks.front();
}

std::string fault_of(const Plan& plan) {
  const auto fault = find_fault(plan);
  return fault ? show_fault(plan, *fault) : "no fault";
}

std::string without(Plan plan, const std::string& word) {
  size_t at = 0;
  auto& list = list_with(plan, word, at);
  list.erase(list.begin() + static_cast<int64_t>(at));
  return fault_of(plan);
}

// `word` is taken out and put directly before `before` of the same rank ("" = at the end).
std::string moved(Plan plan, const std::string& word, const std::string& before) {
  size_t at = 0, to = 0;
  auto& list = list_with(plan, word, at);
  const Action action = list[at];
  list.erase(list.begin() + static_cast<int64_t>(at));
  if (before.empty()) {
    list.push_back(action);
  } else {
    auto& target = list_with(plan, before, to);
    target.insert(target.begin() + static_cast<int64_t>(to), action);
  }
  return fault_of(plan);
}

Plan by_hand(const std::string& rule_and_matrix, const std::string& ranks,
             const std::string& sizes = "microbatches 1") {
  return parse_plan(
      "interlock plan 1\nstages 2\nranks 2\nreplicas 1\n" + sizes +
          "\nplacement contiguous\nschedule by hand\nheads needed\nnorm_over_model no\ntied no\nevaluation no\n" +
          rule_and_matrix + ranks,
      "hand.plan");
}
const std::string global_rule = "rule global\nmatrix\n0 1\n0 1\n";
const std::string local_rule = "rule local\nmatrix\n1 0\n0 1\n";

TEST(PlanCheck, NoActionMayBeMissing) {
  for (int variant = 0; variant < 4; ++variant) {
    const Plan plan = sample(1 + variant % 2, variant / 2 == 1);
    ASSERT_EQ(fault_of(plan), "no fault");
    for (size_t rank = 0; rank < plan.ranks.size(); ++rank) {
      for (size_t i = 0; i < plan.ranks[rank].size(); ++i) {
        Plan damaged = plan;
        damaged.ranks[rank].erase(damaged.ranks[rank].begin() + static_cast<int64_t>(i));
        EXPECT_TRUE(find_fault(damaged)) << "without " << text_of(plan.ranks[rank][i], plan.flows);
      }
    }
  }
}

TEST(PlanCheck, NoActionMayBeDoubled) {
  const Plan plan = sample();
  for (size_t rank = 0; rank < plan.ranks.size(); ++rank) {
    for (size_t i = 0; i < plan.ranks[rank].size(); ++i) {
      for (const size_t to : {i, plan.ranks[rank].size()}) {
        Plan damaged = plan;
        damaged.ranks[rank].insert(damaged.ranks[rank].begin() + static_cast<int64_t>(to), plan.ranks[rank][i]);
        EXPECT_TRUE(find_fault(damaged)) << "twice " << text_of(plan.ranks[rank][i], plan.flows);
      }
    }
  }
}

TEST(PlanCheck, NoActionMayChangeRankStageStreamOrMicrobatch) {
  const Plan plan = sample();
  for (size_t rank = 0; rank < plan.ranks.size(); ++rank) {
    for (size_t i = 0; i < plan.ranks[rank].size(); ++i) {
      const Action original = plan.ranks[rank][i];
      for (int what = 0; what < 5; ++what) {
        Plan damaged = plan;
        Action& action = damaged.ranks[rank][i];
        if (what == 0) action.stage = (action.stage + 1) % 4;
        if (what == 1) action.stage = (action.stage + 2) % 4;  // the other stage of the same rank
        if (what == 2) action.stream += 1;
        if (what == 3) action.microbatch += 1;
        if (what == 4) action.kind = static_cast<Kind>((static_cast<int>(action.kind) + 1) % num_kinds);
        EXPECT_TRUE(find_fault(damaged)) << text_of(original, plan.flows) << " changed into "
                                         << text_of(action, plan.flows);
      }
    }
  }
}

TEST(PlanCheck, NamesWhatIsMissing) {
  EXPECT_THAT(without(sample(), "1RECV_F1"),
              HasSubstr("1F1 needs the output of stage 0 for microbatch 1, but no receive of it comes before"));
  EXPECT_THAT(without(sample(), "0SEND_F1"), HasSubstr("0SEND_F1 is missing"));
  EXPECT_THAT(without(sample(), "0W2"), HasSubstr("0REDUCE_GRAD comes before the stage is done: 0W2 is missing"));
  EXPECT_THAT(without(sample(1, false), "3U"), HasSubstr("3U is missing"));
  EXPECT_THAT(without(sample(), "0REDUCE_NORM"), HasSubstr("comes before REDUCE_NORM"));
  EXPECT_THAT(without(sample(), "2REDUCE_GRAD"), HasSubstr("comes before stage 2 is done"));
  EXPECT_THAT(without(sample(), "3L0"), HasSubstr("3L0"));
}

TEST(PlanCheck, NamesWhatIsInTheWrongPlace) {
  EXPECT_THAT(moved(sample(), "0F1", ""),
              HasSubstr("0SEND_F1 sends the output of stage 0 for microbatch 1, which is made later"));
  EXPECT_THAT(moved(sample(), "2SEND_F2", ""), HasSubstr("comes after REDUCE_NORM"));
  EXPECT_THAT(moved(sample(1, false), "0U", "0W2"), HasSubstr("0U comes before the stage is done"));
  EXPECT_THAT(moved(sample(2, false), "0U", "0REDUCE_GRAD"), HasSubstr("0U comes before 0REDUCE_GRAD"));
  EXPECT_THAT(moved(sample(), "0W1", "0W0"), HasSubstr("comes where microbatch 0 is due"));
}

TEST(PlanCheck, SidesOfALaneMustAgree) {
  const Plan plan = by_hand(local_rule,
                            "rank 0: 0F0 0SEND_F0 0F1 0SEND_F1 0L0 0L1 0W0 0W1 0U\n"
                            "rank 1: 1RECV_F1 1RECV_F0 1F0 1L0 1W0 1F1 1L1 1W1 1U\n",
                            "microbatches 2");
  EXPECT_THAT(fault_of(plan),
              AllOf(HasSubstr("--> 0SEND_F0"), HasSubstr("posts the receive of microbatch 1 at that place")));
}

// Legal with buffered sends, but rank 1 posts its receive behind a send for which rank 0 posts its own too late.
TEST(PlanCheck, FindsADeadlockThatOnlyRendezvousShows) {
  const std::string good_0 = "rank 0: 0F0 0RECV_B0@1 0SEND_F0 0F1 0RECV_B1@1 0SEND_F1 0W0 0W1 0U\n";
  const std::string late_0 = "rank 0: 0F0 0SEND_F0 0F1 0SEND_F1 0RECV_B0@1 0RECV_B1@1 0W0 0W1 0U\n";
  const std::string rank_1 = "rank 1: 1RECV_F0 1F0 1L0 1B0@1 1SEND_B0@1 1RECV_F1 1F1 1L1 1B1@1 1SEND_B1@1 1U\n";
  EXPECT_EQ(fault_of(by_hand(global_rule, good_0 + rank_1, "microbatches 2")), "no fault");
  const std::string told = fault_of(by_hand(global_rule, late_0 + rank_1, "microbatches 2"));
  EXPECT_THAT(told, AllOf(HasSubstr("deadlock"), HasSubstr("0SEND_F1 and waits until rank 1 posts 1RECV_F1"),
                          HasSubstr("1SEND_B0@1 and waits until rank 0 posts 0RECV_B0@1")));
}

TEST(PlanCheck, TheGridShowsWhereEveryRankStood) {
  const std::string told =
      fault_of(by_hand(global_rule,
                       "rank 0: 0F0 0SEND_F0 0F1 0SEND_F1 0RECV_B0@1 0RECV_B1@1 0W0 0W1 0U\n"
                       "rank 1: 1RECV_F0 1F0 1L0 1B0@1 1SEND_B0@1 1RECV_F1 1F1 1L1 1B1@1 1SEND_B1@1 1U\n",
                       "microbatches 2"));
  EXPECT_EQ(
      told,
      "rank 0:  0F0 0SEND_F0 0F1   --> 0SEND_F1 0RECV_B0@1 0RECV_B1@1\n"
      "rank 1:  1F0 1L0      1B0@1 > 1SEND_B0@1 1RECV_F1   1F1          waits until rank 0 posts 0RECV_B0@1\n"
      "rank 0, action 3: deadlock: rank 0 stands at 0SEND_F1 and waits until rank 1 posts 1RECV_F1; rank 1 stands at "
      "1SEND_B0@1 and waits until rank 0 posts 0RECV_B0@1");
}

TEST(PlanCheck, ThrowsWithTheGrid) {
  Plan plan = sample();
  plan.ranks[1].pop_back();
  try {
    plan_check(plan);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::bad_input);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("rank 1:"), HasSubstr("--> (end)"),
                                    HasSubstr("at the end of its list: 3U is missing")));
  }
}

TEST(PlanCheck, AStageMayTeachAndPassOnInTwoWalks) {
  // W and I in place of B, in both orders: as schedules that put weight gradients off will want, and walking twice.
  EXPECT_EQ(fault_of(by_hand(global_rule,
                             "rank 0: 0F0 0RECV_B0@1 0SEND_F0 0W0 0U\n"
                             "rank 1: 1RECV_F0 1F0 1L0 1I0@1 1SEND_B0@1 1W0 1U\n")),
            "no fault");
  EXPECT_EQ(fault_of(by_hand(global_rule,
                             "rank 0: 0F0 0RECV_B0@1 0SEND_F0 0W0 0U\n"
                             "rank 1: 1RECV_F0 1F0 1L0 1W0 1I0@1 1SEND_B0@1 1U\n")),
            "no fault");
  // A deferred W belongs to the step of its I, and either of them once.
  EXPECT_THAT(fault_of(by_hand(global_rule,
                               "rank 0: 0F0 0RECV_B0@1 0SEND_F0 0W0 0U\n"
                               "rank 1: 1RECV_F0 1F0 1L0 1I0@1 1SEND_B0@1 1U 1W0\n")),
              HasSubstr("1U comes before the stage is done: 1W0 is missing"));
  EXPECT_THAT(fault_of(by_hand(global_rule,
                               "rank 0: 0F0 0RECV_B0@1 0SEND_F0 0W0 0U\n"
                               "rank 1: 1RECV_F0 1F0 1L0 1I0@1 1SEND_B0@1 1B0@1 1U\n")),
              HasSubstr("does again"));
}

TEST(PlanCheck, RefusesWhatTheRuleDoesNotHave) {
  EXPECT_THAT(fault_of(by_hand(global_rule, "rank 0: 0F0 0L0\nrank 1:\n")), HasSubstr("no loss runs on stage 0"));
  EXPECT_THAT(fault_of(by_hand(global_rule, "rank 0: 1F0\nrank 1:\n")), HasSubstr("1F0 belongs to rank 1"));
  EXPECT_THAT(fault_of(by_hand(global_rule, "rank 0: 0F0 0F1\nrank 1:\n")), HasSubstr("there is no microbatch 1"));
  EXPECT_THAT(fault_of(by_hand(global_rule, "rank 0: 0F0 0F0\nrank 1:\n")), HasSubstr("does again"));
  EXPECT_THAT(fault_of(by_hand(global_rule, "rank 0: 0RECV_F0\nrank 1:\n")), HasSubstr("nobody sends it"));
  EXPECT_THAT(fault_of(by_hand(global_rule, "rank 0: 0F0\nrank 1: 1SEND_F0\n")), HasSubstr("0W0 is missing"));
  EXPECT_THAT(fault_of(by_hand(global_rule, "rank 0: 0REDUCE_GRAD\nrank 1:\n")),
              HasSubstr("comes before the stage is done"));
  EXPECT_THAT(fault_of(by_hand(global_rule, "rank 0: 0REDUCE_NORM\nrank 1:\n")), HasSubstr("clips per stage"));
  EXPECT_THAT(fault_of(by_hand(global_rule, "rank 0:\nrank 1:\n")), HasSubstr("0F0 is missing"));
}

TEST(PlanCheck, EvaluationsHoldForwardsAndTheLastLossOnly) {
  const PlanShape shape{.stages = 4, .ranks = 2, .microbatches = 3};
  Plan plan = make_evaluation_plan(shape, make_rule({.rule = "sum"}, 4));
  EXPECT_EQ(print_plan(plan).substr(print_plan(plan).find("rank 0")),
            "rank 0: 0F0 1F0 1SEND_F0 0F1 1F1 1SEND_F1 0F2 1F2 1SEND_F2\n"
            "rank 1: 2RECV_F0 2F0 2RECV_F1 3F0 3L0 2F1 2RECV_F2 3F1 3L1 2F2 3F2 3L2\n");
  plan.ranks[0].push_back({Kind::update, 0, -1, -1});
  EXPECT_THAT(fault_of(plan), HasSubstr("does not belong into an evaluation"));
}

}  // namespace
}  // namespace interlock
