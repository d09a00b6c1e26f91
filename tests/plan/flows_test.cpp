// What is derived from a matrix, against small cases worked out by hand.

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "parallel/plan/learning_rule.h"
#include "parallel/plan/plan.h"

namespace interlock {
namespace {

using Losses = std::vector<int>;
using Streams = std::vector<Losses>;

// Streams over boundary k -> k-1, for k = 1..K-1.
std::vector<Streams> streams_of(const Flows& flows) {
  std::vector<Streams> all;
  for (size_t stage = 0; stage + 1 < flows.stages.size(); ++stage) {
    Streams streams;
    for (const Stream& stream : flows.stages[stage].incoming) streams.push_back(stream.losses);
    all.push_back(streams);
  }
  return all;
}

Flows flows_of(const RuleRequest& request, int stages, HeadPolicy policy = HeadPolicy::needed) {
  return derive_flows(make_rule(request, stages), policy);
}

RuleRequest matrix(Matrix weights, std::vector<int> frozen = {}) {
  return {.rule = "matrix", .matrix = std::move(weights), .frozen = std::move(frozen)};
}

std::vector<std::pair<int, double>> pairs(const std::vector<Term>& terms) {
  std::vector<std::pair<int, double>> all;
  for (const Term& term : terms) all.emplace_back(term.source, term.weight);
  return all;
}
using Pairs = std::vector<std::pair<int, double>>;
constexpr int own = Term::own_loss;

TEST(Flows, LocalSendsNothingBack) {
  const Flows flows = flows_of({.rule = "local"}, 4);
  EXPECT_EQ(streams_of(flows), (std::vector<Streams>{{}, {}, {}}));
  EXPECT_EQ(flows.heads(), (Losses{0, 1, 2, 3}));
  EXPECT_EQ(flows.reach, (std::vector<int>{0, 0, 0, 0}));
  EXPECT_EQ(flows.longest_backward_chain, 0);
  EXPECT_EQ(flows.extra_passes(), 0);
  EXPECT_EQ(pairs(flows.stages[1].teach), (Pairs{{own, 1}}));
}

TEST(Flows, GlobalIsOneStreamAndOneWalkPerStage) {
  const Flows flows = flows_of({.rule = "global"}, 4);
  EXPECT_EQ(streams_of(flows), (std::vector<Streams>{{{3}}, {{3}}, {{3}}}));
  EXPECT_EQ(flows.heads(), (Losses{3}));
  EXPECT_EQ(flows.reach, (std::vector<int>{3, 2, 1, 0}));
  EXPECT_EQ(flows.longest_backward_chain, 3);
  EXPECT_EQ(flows.extra_passes(), 0);
  EXPECT_FALSE(flows.stages[0].has_loss);
  for (int stage = 1; stage < 4; ++stage) EXPECT_EQ(flows.stages[stage].joint, 0);
}

TEST(Flows, FurthestThreeHandsTheNearerLossOn) {
  const Flows flows = flows_of({.rule = "furthest", .horizon = 3}, 4);
  EXPECT_EQ(streams_of(flows), (std::vector<Streams>{{{2}}, {{2}, {3}}, {{3}}}));
  EXPECT_EQ(flows.heads(), (Losses{2, 3}));
  EXPECT_EQ(flows.longest_backward_chain, 2);
  EXPECT_EQ(flows.extra_passes(), 2);  // stage 1 hands on loss 2, stage 2 sends its own
  EXPECT_EQ(flows.stages[1].joint, -1);
  EXPECT_EQ(flows.stages[2].joint, 1);
  EXPECT_EQ(flows.stages[2].outgoing[0].stream.losses, (Losses{2}));  // own loss first
  EXPECT_EQ(pairs(flows.stages[1].teach), (Pairs{{1, 1}}));
  EXPECT_EQ(pairs(flows.stages[1].outgoing[0].terms), (Pairs{{0, 1}}));
  EXPECT_EQ(flows.reach, (std::vector<int>{2, 2, 1, 0}));
}

TEST(Flows, SumMergesNearTheBottom) {
  const Flows flows = flows_of({.rule = "sum", .horizon = 3}, 4);
  EXPECT_EQ(streams_of(flows), (std::vector<Streams>{{{1, 2}}, {{2}, {3}}, {{3}}}));
  EXPECT_EQ(flows.extra_passes(), 3);
  EXPECT_EQ(pairs(flows.stages[1].outgoing[0].terms), (Pairs{{own, 1}, {0, 1}}));
  EXPECT_EQ(pairs(flows.stages[1].teach), (Pairs{{own, 1}, {0, 1}, {1, 1}}));
  EXPECT_EQ(streams_of(flows_of({.rule = "sum", .horizon = 2}, 4)), (std::vector<Streams>{{{1}}, {{2}}, {{3}}}));
}

TEST(Flows, DenseMatricesCostNoMoreThanGlobal) {
  const Flows flows = flows_of({.rule = "deep_supervision", .weight = 0.3}, 4);
  EXPECT_EQ(streams_of(flows), (std::vector<Streams>{{{1, 2, 3}}, {{2, 3}}, {{3}}}));
  EXPECT_EQ(flows.extra_passes(), 0);
  EXPECT_EQ(flows.stages[1].incoming[0].weights, (std::vector<double>{0.3, 1}));
  EXPECT_EQ(pairs(flows.stages[1].teach), (Pairs{{own, 0.3}, {0, 1}}));
}

TEST(Flows, ChunksAreSeparate) {
  const Flows flows = flows_of({.rule = "chunked", .window = 2}, 4);
  EXPECT_EQ(streams_of(flows), (std::vector<Streams>{{{1}}, {}, {{3}}}));
  EXPECT_EQ(flows.heads(), (Losses{1, 3}));
  EXPECT_EQ(flows.extra_passes(), 0);
}

TEST(Flows, NamedRulesNeedNoJointFactor) {
  for (int stages = 1; stages <= 7; ++stages) {
    for (const std::string rule : {"local", "furthest", "sum", "chunked", "deep_supervision", "global"}) {
      for (int size = 1; size <= stages; ++size) {
        const Flows flows = flows_of({.rule = rule, .horizon = size, .window = size}, stages);
        for (const StageFlow& flow : flows.stages) EXPECT_EQ(flow.joint_factor, 1.0) << rule << " " << size;
      }
    }
  }
}

TEST(Flows, WeightsAreTakenAtTheNearestStageBelow) {
  // Stage 1 takes loss 2 six-fold as it comes; to stage 0, which takes it two-fold, a third of that goes on.
  const Flows flows = flows_of(matrix({{1, 0, 2}, {0, 0, 6}, {0, 0, 1}}), 3);
  EXPECT_EQ(flows.stages[1].incoming[0].weights, (std::vector<double>{6}));
  EXPECT_EQ(pairs(flows.stages[2].outgoing[0].terms), (Pairs{{own, 6}}));
  EXPECT_EQ(pairs(flows.stages[1].teach), (Pairs{{0, 1}}));
  EXPECT_EQ(pairs(flows.stages[1].outgoing[0].terms), (Pairs{{0, 2.0 / 6.0}}));
  EXPECT_EQ(flows.stages[1].joint, 0);
  EXPECT_NEAR(flows.stages[1].joint_factor, 3.0, 1e-12);  // one division's rounding
  EXPECT_EQ(flows.stages[2].joint, 0);
  EXPECT_NEAR(flows.stages[2].joint_factor, 1.0 / 6.0, 1e-12);
}

TEST(Flows, ColumnsThatDifferInOneRowCrossApart) {
  const Matrix weights{{1, 2, 4, 0}, {0, 1, 2, 0}, {0, 0, 1, 1}, {0, 0, 0, 1}};
  EXPECT_EQ(streams_of(flows_of(matrix(weights), 4)), (std::vector<Streams>{{{1, 2}}, {{2}}, {{3}}}));
  Matrix other = weights;
  other[0][3] = 3;  // loss 3 in rows 0, 1: (3, 0), loss 2: (4, 2)
  EXPECT_EQ(streams_of(flows_of(matrix(other), 4)), (std::vector<Streams>{{{1, 2, 3}}, {{2}, {3}}, {{3}}}));
}

TEST(Flows, ProportionalityForgivesRoundingOnly) {
  const auto boundary_two = [](double weight) {
    return streams_of(flows_of(matrix({{1, 1, 0.1, 0.3}, {0, 1, 0.2, weight}, {0, 0, 1, 0}, {0, 0, 0, 1}}), 4))[1];
  };
  EXPECT_EQ(boundary_two(0.6), (Streams{{2, 3}}));  // 0.3 / 0.1 and 0.6 / 0.2 are not the same double
  EXPECT_EQ(boundary_two(0.6 * (1 + 1e-9)), (Streams{{2}, {3}}));
}

TEST(Flows, FrozenStagesPassOnAndLearnNothing) {
  const Flows flows = flows_of({.rule = "global", .frozen = {1}}, 3);
  EXPECT_FALSE(flows.stages[1].learns);
  EXPECT_EQ(flows.stages[1].joint, -1);
  EXPECT_EQ(streams_of(flows), (std::vector<Streams>{{{2}}, {{2}}}));
  EXPECT_EQ(flows.extra_passes(), 1);
  // A frozen bottom needs nothing from above.
  EXPECT_EQ(streams_of(flows_of({.rule = "global", .frozen = {0, 1}}, 3)), (std::vector<Streams>{{}, {}}));
}

TEST(Flows, TheLastLossAlwaysRuns) {
  const Flows flows = flows_of(matrix({{1, 0}, {0, 0}}, {1}), 2);
  EXPECT_TRUE(flows.stages[1].has_loss);
  EXPECT_FALSE(flows.stages[1].own_loss_used);
  EXPECT_EQ(flows.heads(), (Losses{0, 1}));
}

TEST(Flows, AllHeadsRunWhenAskedAndTeachNobodyMore) {
  const RuleRequest rule{.rule = "furthest", .horizon = 3};
  const Flows needed = flows_of(rule, 4), all = flows_of(rule, 4, HeadPolicy::all);
  for (int stage = 0; stage < 4; ++stage) {
    EXPECT_TRUE(all.stages[stage].has_loss);
    EXPECT_EQ(needed.stages[stage].has_loss, stage >= 2);
    EXPECT_EQ(pairs(needed.stages[stage].teach), pairs(all.stages[stage].teach));
  }
  EXPECT_EQ(streams_of(needed), streams_of(all));
  EXPECT_EQ(needed.heads(), all.heads());
}

// ---- Stages below which nothing trains

Plan frozen_plan(const std::string& rule, std::vector<int> untrained, const std::string& schedule,
                 HeadPolicy heads = HeadPolicy::needed) {
  PlanRequest request;
  request.shape = {.stages = 4, .ranks = 4, .replicas = 2, .microbatches = 6};
  request.rule = make_rule({.rule = rule, .horizon = 2, .untrained = std::move(untrained)}, 4);
  request.schedule = schedule;
  request.heads = heads;
  return make_plan(request);
}
using Messages = std::vector<int64_t>;

TEST(Flows, NothingGoesDownWhereNobodyTrainsBelow) {
  for (const std::string schedule : {"wavefront", "gpipe"}) {
    // Stages 0 and 1 have nothing to train: the boundaries 1-0 and 2-1 carry activations only.
    const Plan plan = frozen_plan("global", {0, 1}, schedule);
    EXPECT_EQ(streams_of(plan.flows), (std::vector<Streams>{{}, {}, {{3}}}));
    EXPECT_EQ(plan.forward_messages(), (Messages{6, 6, 6}));
    EXPECT_EQ(plan.backward_messages(), (Messages{0, 0, 6}));
    EXPECT_EQ(plan.flows.stages[2].joint, -1);  // it is taught, and passes nothing on
    // They forget a microbatch with its forward; stage 2 waits for one loss above it (1F1B), or keeps all.
    const int all = schedule == "gpipe" ? 6 : 0;
    EXPECT_EQ(plan.in_flight(), (std::vector<int>{1, 1, std::max(all, 2), std::max(all, 1)})) << schedule;
    for (const Action& action : plan.ranks[0])
      EXPECT_TRUE(action.kind == Kind::forward || action.kind == Kind::send_forward) << text_of(action, plan.flows);
    for (const Action& action : plan.ranks[1])
      EXPECT_TRUE(action.kind <= Kind::forward || is_send(action.kind) || is_receive(action.kind));
    // A frozen stage above one that trains passes on.
    const Plan middle = frozen_plan("global", {2}, schedule);
    EXPECT_EQ(middle.backward_messages(), (Messages{6, 6, 6}));
    EXPECT_FALSE(middle.flows.stages[2].learns);
  }
}

TEST(Flows, TheStreamsOfOtherRulesEndWhereTheLastWhoWantsThemTrains) {
  // sum(2): stage k learns from k and k + 1. Without stage 1, loss 2 crosses no boundary, and nobody needs loss 0 but
  // stage 0.
  const Plan plan = frozen_plan("sum", {1}, "wavefront");
  EXPECT_EQ(streams_of(plan.flows), (std::vector<Streams>{{{1}}, {}, {{3}}}));
  EXPECT_EQ(plan.backward_messages(), (Messages{6, 0, 6}));
  // Nobody learns from loss 0 any more when stage 0 does not train.
  EXPECT_FALSE(frozen_plan("sum", {0}, "wavefront").flows.stages[0].has_loss);
}

TEST(Flows, OnlyHeadsMayTrain) {
  for (const std::string schedule : {"wavefront", "gpipe"}) {
    for (const std::string rule : {"local", "furthest", "sum", "chunked", "deep_supervision", "global"}) {
      for (const HeadPolicy heads : {HeadPolicy::needed, HeadPolicy::all}) {
        const Plan plan = frozen_plan(rule, {0, 1, 2, 3}, schedule, heads);
        SCOPED_TRACE(rule + "\n" + print_plan(plan));
        EXPECT_EQ(streams_of(plan.flows), (std::vector<Streams>{{}, {}, {}}));
        EXPECT_EQ(plan.backward_messages(), (Messages{0, 0, 0}));
        EXPECT_EQ(plan.flows.longest_backward_chain, 0);
        for (int stage = 0; stage < 4; ++stage) {
          const StageFlow& flow = plan.flows.stages[stage];
          const bool runs = stage == 3 || heads == HeadPolicy::all;
          EXPECT_EQ(flow.has_loss, runs);
          EXPECT_FALSE(flow.own_loss_used || flow.learns);
          const auto count = [&](Kind kind) {
            return std::count_if(plan.ranks[stage].begin(), plan.ranks[stage].end(),
                                 [&](const Action& action) { return action.kind == kind; });
          };
          EXPECT_EQ(count(Kind::loss), runs ? 6 : 0);
          EXPECT_EQ(count(Kind::update), runs ? 1 : 0);
          EXPECT_EQ(count(Kind::reduce_gradient), runs ? 1 : 0);
          EXPECT_EQ(count(Kind::weight_gradient) + count(Kind::backward) + count(Kind::input_gradient), 0);
          EXPECT_EQ(plan.in_flight()[stage], 1);
        }
        const Plan read = parse_plan(print_plan(plan), "printed");
        EXPECT_EQ(read.rule.frozen, (std::vector<int>{0, 1, 2, 3}));
        EXPECT_EQ(read.ranks, plan.ranks);
      }
    }
  }
}

// The definition: loss j crosses boundary k exactly when some stage below k learns from it.
TEST(Flows, NamedRulesSendWhatTheTableSays) {
  const int stages = 6, microbatches = 5;
  for (int horizon = 1; horizon <= stages; ++horizon) {
    PlanRequest request;
    request.shape = {.stages = stages, .ranks = stages, .microbatches = microbatches};
    request.rule = make_rule({.rule = "furthest", .horizon = horizon}, stages);
    const Plan plan = make_plan(request);
    for (int k = 1; k < stages; ++k) {
      // Losses wanted below k: min(i + N - 1, K - 1) >= k for i < k; the distinct ones are the streams.
      const int highest = std::min(k - 1 + horizon - 1, stages - 1),
                lowest = std::max(k, std::min(horizon - 1, stages - 1));
      const int expected = std::max(0, highest - lowest + 1);
      EXPECT_EQ(plan.backward_messages()[k - 1], expected * microbatches) << "horizon " << horizon << " boundary " << k;
      EXPECT_EQ(plan.forward_messages()[k - 1], microbatches);
    }
    EXPECT_EQ(plan.flows.longest_backward_chain, horizon - 1);
  }
}

}  // namespace
}  // namespace interlock
