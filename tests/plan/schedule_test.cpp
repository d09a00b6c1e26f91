// The orders that the schedules make, and where lowering puts messages, reductions and updates.

#include "parallel/plan/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "parallel/plan/lower.h"
#include "parallel/plan/plan_check.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

using testing::HasSubstr;

Plan plan_of(const RuleRequest& rule, const PlanShape& shape, const std::string& schedule, bool norm = false,
             HeadPolicy heads = HeadPolicy::needed) {
  PlanRequest request;
  request.shape = shape;
  request.rule = make_rule(rule, shape.stages);
  request.schedule = schedule;
  request.norm_over_model = norm;
  request.heads = heads;
  return make_plan(request);
}

std::string words(const Plan& plan, int rank, auto&& wanted) {
  std::string all;
  for (const Action& action : plan.ranks[rank]) {
    if (wanted(action)) all += (all.empty() ? "" : " ") + text_of(action, plan.flows);
  }
  return all;
}
bool is_body(const Action& action) { return action.kind <= Kind::backward && action.kind != Kind::loss; }

// 1F1B by its definition: K - k warm-up forwards (as many as there are microbatches), then a backward for each forward.
TEST(Wavefront, IsOneForwardOneBackwardUnderGlobal) {
  for (int stages = 1; stages <= 6; ++stages) {
    for (int microbatches = 1; microbatches <= 9; ++microbatches) {
      const Plan plan =
          plan_of({.rule = "global"}, {.stages = stages, .ranks = stages, .microbatches = microbatches}, "wavefront");
      for (int stage = 0; stage < stages; ++stage) {
        std::string expected;
        int forwards = 0, backwards = 0;
        const auto add = [&](bool forward) {
          expected += (expected.empty() ? "" : " ") + std::to_string(stage);
          if (forward) {
            expected += "F" + std::to_string(forwards++);
          } else {
            expected += (stage == 0 ? "W" : "B") + std::to_string(backwards++);
            if (stage > 0) expected += "@" + std::to_string(stages - 1);
          }
        };
        while (forwards < std::min(stages - stage, microbatches)) add(true);
        while (backwards < microbatches) {
          add(false);
          if (forwards < microbatches) add(true);
        }
        EXPECT_EQ(words(plan, stage, is_body), expected) << stages << " stages, " << microbatches << " microbatches";
        EXPECT_EQ(plan.in_flight()[stage], std::min(stages - stage, microbatches));
      }
    }
  }
}

TEST(Wavefront, KeepsNoMoreAliveThanTheHorizonNeeds) {
  for (int horizon = 1; horizon <= 6; ++horizon) {
    const Plan plan =
        plan_of({.rule = "furthest", .horizon = horizon}, {.stages = 6, .ranks = 6, .microbatches = 12}, "wavefront");
    for (int stage = 0; stage < 6; ++stage) EXPECT_LE(plan.in_flight()[stage], std::min(horizon, 6 - stage));
  }
}

TEST(Wavefront, OneRankNeedsOneMicrobatchAtATime) {
  const Plan plan = plan_of({.rule = "global"}, {.stages = 3, .ranks = 1, .microbatches = 2}, "wavefront");
  EXPECT_EQ(words(plan, 0, [](const Action&) { return true; }),
            "0F0 1F0 2F0 2L0 2B0@2 1B0@2 0W0 0F1 1F1 2F1 2L1 2B1@2 2U 1B1@2 1U 0W1 0U");
}

TEST(GPipe, DoesAllForwardsFirst) {
  for (const std::string rule : {"global", "sum", "furthest", "local"}) {
    const Plan plan = plan_of(
        {.rule = rule},
        {.stages = 4, .ranks = 2, .microbatches = 5, .placement = Placement::named("interleaved", 4, 2)}, "gpipe");
    for (int rank = 0; rank < 2; ++rank) {
      size_t last_forward = 0, first_teach = plan.ranks[rank].size();
      for (size_t i = 0; i < plan.ranks[rank].size(); ++i) {
        const Kind kind = plan.ranks[rank][i].kind;
        if (kind == Kind::forward || kind == Kind::loss) last_forward = i;
        if (kind == Kind::weight_gradient || kind == Kind::backward) first_teach = std::min(first_teach, i);
      }
      EXPECT_LT(last_forward, first_teach) << rule;
    }
    EXPECT_EQ(plan.in_flight(), (std::vector<int>{5, 5, 5, 5})) << rule;
  }
}

TEST(Schedules, AnUnknownOneNamesTheNearest) {
  try {
    plan_of({.rule = "local"}, {.stages = 2, .ranks = 2}, "wavefrnt");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::config);
    EXPECT_THAT(error.what(), HasSubstr("did you mean \"wavefront\""));
  }
}

TEST(Shape, RanksMustDivideStages) {
  EXPECT_THROW((PlanShape{.stages = 4, .ranks = 3}.check()), Error);
  EXPECT_THROW((PlanShape{.stages = 4, .ranks = 8}.check()), Error);
  EXPECT_THROW((PlanShape{.stages = 4, .ranks = 4, .replicas = 1, .microbatches = 0}.check()), Error);
  EXPECT_THROW((PlanShape{.stages = 4, .ranks = -1}.check()), Error);
  for (const std::string& name : Placement::names()) {
    for (int stages = 1; stages <= 12; ++stages) {
      for (int ranks = 1; ranks <= stages; ++ranks) {
        const PlanShape shape{.stages = stages, .ranks = ranks, .placement = Placement::named(name, stages, ranks)};
        if (stages % ranks != 0) {
          EXPECT_THROW(shape.check(), Error);
          continue;
        }
        EXPECT_NO_THROW(shape.check());
        std::vector<int> seen(stages, 0);
        for (int rank = 0; rank < ranks; ++rank) {
          for (int stage : shape.stages_of(rank)) {
            EXPECT_EQ(shape.rank_of(stage), rank);
            ++seen[stage];
          }
        }
        EXPECT_EQ(seen, std::vector<int>(stages, 1));
      }
    }
  }
  EXPECT_EQ((PlanShape{.stages = 4, .ranks = 2}.stages_of(1)), (std::vector<int>{2, 3}));
  EXPECT_EQ((PlanShape{.stages = 4, .ranks = 2, .placement = Placement::named("interleaved", 4, 2)}.stages_of(1)),
            (std::vector<int>{1, 3}));
}

std::string refusal(const PlanShape& shape) {
  try {
    shape.check();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::config);
    return error.what();
  }
  return "not refused";
}

TEST(Shape, APlacementByHandNeedsEveryRank) {
  const auto by_hand = [](int stages, int ranks, const std::vector<int>& list) {
    return PlanShape{.stages = stages, .ranks = ranks, .placement = Placement::by_hand(list)};
  };
  const PlanShape uneven = by_hand(5, 3, {1, 1, 0, 2, 1});
  EXPECT_EQ(refusal(uneven), "not refused");
  EXPECT_EQ(uneven.stages_of(1), (std::vector<int>{0, 1, 4}));
  EXPECT_EQ(uneven.stages_of(0), (std::vector<int>{2}));
  EXPECT_EQ(uneven.rank_of(3), 2);
  EXPECT_THAT(refusal(by_hand(4, 2, {0, 1, 1})), HasSubstr("parallel.placement has 3 entries for 4 stages"));
  EXPECT_THAT(refusal(by_hand(4, 2, {0, 1, 1, 1, 0})), HasSubstr("parallel.placement has 5 entries for 4 stages"));
  EXPECT_THAT(refusal(by_hand(4, 2, {0, 1, 2, 1})), HasSubstr("parallel.placement[2] = 2: the ranks are 0 to 1"));
  EXPECT_THAT(refusal(by_hand(4, 2, {-1, 1, 0, 1})), HasSubstr("parallel.placement[0] = -1"));
  EXPECT_THAT(refusal(by_hand(4, 3, {0, 2, 0, 2})), HasSubstr("parallel.placement gives rank 1 no stage"));
  EXPECT_THAT(refusal(by_hand(2, 3, {0, 1})), HasSubstr("only 2 stages"));
  // One made for other sizes is noticed.
  PlanShape changed{.stages = 4, .ranks = 4};
  changed.ranks = 2;
  EXPECT_THAT(refusal(changed), HasSubstr("parallel.placement[2] = 2"));
}

TEST(Shape, AnUnknownPlacementNamesTheNearest) {
  try {
    Placement::named("interleavd", 4, 2);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::config);
    EXPECT_THAT(error.what(), HasSubstr("did you mean \"interleaved\""));
  }
}

TEST(Lower, ClosesStagesAndRanks) {
  const auto closing = [](const Action& action) { return action.microbatch < 0; };
  const PlanShape shape{.stages = 4, .ranks = 2, .replicas = 2, .microbatches = 2};
  const Plan per_stage = plan_of({.rule = "local", .frozen = {1}}, shape, "wavefront");
  // Stage 1 is frozen and teaches nobody: nothing to sum, nothing to update.
  EXPECT_EQ(words(per_stage, 0, closing), "0REDUCE_GRAD 0U");
  EXPECT_EQ(words(per_stage, 1, closing), "2REDUCE_GRAD 2U 3REDUCE_GRAD 3U");
  const Plan with_head = plan_of({.rule = "local", .frozen = {1}}, shape, "wavefront", false, HeadPolicy::all);
  EXPECT_THAT(words(with_head, 0, closing), HasSubstr("1REDUCE_GRAD 1U"));
  const Plan over_model = plan_of({.rule = "global"}, shape, "wavefront", true);
  EXPECT_EQ(words(over_model, 0, closing), "1REDUCE_GRAD 0REDUCE_GRAD 0REDUCE_NORM 0U 1U");
  EXPECT_EQ(words(over_model, 1, closing), "3REDUCE_GRAD 2REDUCE_GRAD 2REDUCE_NORM 2U 3U");
}

TEST(Lower, SendsNothingInsideARank) {
  const Plan plan = plan_of({.rule = "sum"}, {.stages = 4, .ranks = 1, .microbatches = 3}, "wavefront");
  EXPECT_EQ(words(plan, 0, [](const Action& action) { return is_send(action.kind) || is_receive(action.kind); }), "");
}

TEST(Lower, OwnLossStreamsAreSentBeforeTheStageIsTaught) {
  const Plan plan = plan_of({.rule = "furthest"}, {.stages = 3, .ranks = 3, .microbatches = 1}, "wavefront");
  EXPECT_EQ(words(plan, 1, [](const Action&) { return true; }),
            "1RECV_F0 1F0 1SEND_F0 1L0 1I0@1 1SEND_B0@1 1RECV_B0@2 1W0 1U");
}

TEST(Lower, RefusesAnOrderThatCannotRun) {
  Plan plan;
  plan.shape = {.stages = 2, .ranks = 2, .microbatches = 1};
  plan.rule = make_rule({.rule = "global"}, 2);
  plan.flows = derive_flows(plan.rule, HeadPolicy::needed);
  const Action first{Kind::forward, 0, 0, -1}, teach{Kind::weight_gradient, 0, 0, -1};
  const Action second{Kind::forward, 1, 0, -1}, loss{Kind::loss, 1, 0, -1}, back{Kind::backward, 1, 0, 0};
  EXPECT_NO_THROW(lower(plan, {{first, teach}, {second, loss, back}}));
  EXPECT_FALSE(find_fault(plan));
  try {
    lower(plan, {{teach, first}, {second, loss, back}});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::config);
    EXPECT_THAT(error.what(), HasSubstr("rank 0 waits for ever at 0W0"));
  }
}

// Replays the lists with a forward taking 1 and everything else nothing; answers when the last one ends.
int64_t forwards_end(const Plan& plan) {
  std::vector<std::vector<int64_t>> done(plan.shape.stages, std::vector<int64_t>(plan.shape.microbatches, -1));
  std::vector<size_t> next(plan.ranks.size(), 0);
  std::vector<int64_t> free(plan.ranks.size(), 0);
  for (bool moved = true; moved;) {
    moved = false;
    for (size_t rank = 0; rank < plan.ranks.size(); ++rank) {
      for (; next[rank] < plan.ranks[rank].size(); ++next[rank], moved = true) {
        const Action& action = plan.ranks[rank][next[rank]];
        if (action.kind != Kind::forward) continue;
        const int64_t ready = action.stage == 0 ? 0 : done[action.stage - 1][action.microbatch];
        if (ready < 0) break;
        done[action.stage][action.microbatch] = free[rank] = std::max(free[rank], ready) + 1;
      }
    }
  }
  return *std::ranges::max_element(done.back());
}

// The busiest rank does its stages x microbatches forwards one after another; the pipeline fills and drains once.
TEST(EvaluationOrder, NoRankWaitsBetweenMicrobatches) {
  const LearningRule rule = make_rule({.rule = "local"}, 8);
  for (const char* placement : {"contiguous", "interleaved"}) {
    for (const int ranks : {1, 2, 4, 8}) {
      for (const int microbatches : {1, 2, 5, 16, 33}) {
        PlanShape shape{.stages = 8, .ranks = ranks, .microbatches = microbatches};
        shape.placement = Placement::named(placement, 8, ranks);
        const Plan plan = make_evaluation_plan(shape, rule);
        const int64_t busy = int64_t{8 / ranks} * microbatches;
        EXPECT_LE(forwards_end(plan), busy + 8 - 8 / ranks + (microbatches < ranks ? 8 : 0))
            << placement << ", " << ranks << " ranks, " << microbatches << " microbatches";
      }
    }
  }
}

}  // namespace
}  // namespace interlock
