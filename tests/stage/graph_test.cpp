// How often a stage runs its body, where it keeps a graph, and how often it walks back, counted by the body itself.
#include <gtest/gtest.h>

#include <ATen/ops/linear.h>
#include <ATen/ops/ones_like.h>

#include "tests/stage/support.h"

namespace interlock {
namespace {

using namespace tests;
using Counts = CountingBody::Counts;

constexpr int segments = 3;

// The sum of what it is given, times a parameter.
class SumHead : public Head {
 public:
  SumHead() { weight_ = register_parameter("scale", some_numbers({4}, at::kFloat)); }
  LossSum loss(const at::Tensor& hidden, const ForwardContext&) override { return {(hidden * weight_).sum(), 3}; }
  at::Tensor scores(const at::Tensor& hidden, const ForwardContext&) override { return hidden; }
  void freeze() { weight_.set_requires_grad(false); }

 private:
  at::Tensor weight_;
};

// The sum itself, whose gradient autograd gives as one number that is repeated by a view.
class PlainSumHead : public Head {
 public:
  explicit PlainSumHead(bool repeated) : repeated_(repeated) {}
  LossSum loss(const at::Tensor& hidden, const ForwardContext&) override {
    return {repeated_ ? hidden.sum() : (hidden * at::ones_like(hidden)).sum(), 3};
  }
  at::Tensor scores(const at::Tensor& hidden, const ForwardContext&) override { return hidden; }

 private:
  const bool repeated_;
};

struct Bench {
  explicit Bench(const RuleRequest& rule, int of_stages, int index, Recompute recompute = Recompute::none,
                 const std::vector<int64_t>& frozen = {}, bool frozen_head = false,
                 std::shared_ptr<Head> other_head = nullptr)
      : flows(derive_flows(make_rule(rule, of_stages), HeadPolicy::needed)),
        body(std::make_shared<CountingBody>(segments)) {
    for (const int64_t segment : frozen) body->freeze(segment);
    const auto head = std::make_shared<SumHead>();
    if (frozen_head) head->freeze();
    Stage::Parts parts;
    parts.body = body;
    parts.head = other_head ? other_head : head;
    parts.head_is_readout = index + 1 == of_stages;
    parts.make_optimizer = optimizer_of("");
    parts.recompute = recompute;
    stage.emplace(index, std::move(parts));
    stage->follow(flow(index));
  }
  const StageFlow& flow(int index) const { return flows.stages[index]; }
  void forward(int microbatch = 0) {
    stage->forward(microbatch, some_numbers(counting_shape, at::kFloat), std::make_shared<Batch>(), {});
    if (stage->flow().has_loss) stage->loss(microbatch, 1);
    for (size_t stream = 0; stream < stage->flow().incoming.size(); ++stream)
      stage->deliver(microbatch, static_cast<int>(stream), some_numbers(counting_shape, at::kFloat));
  }

  Flows flows;
  std::shared_ptr<CountingBody> body;
  std::optional<Stage> stage;
};

// Under recomputation the body runs a second time once for all that a microbatch's passes share.
class Walks : public testing::TestWithParam<Recompute> {
 protected:
  bool again() const { return GetParam() != Recompute::none; }
  Counts times(int passes) const {
    const int runs = segments * (again() ? 1 + passes : 1);
    return {runs, again() ? segments * passes : segments, segments * passes};
  }
};

TEST_P(Walks, BIsOne) {
  Bench bench({.rule = "global"}, 3, 1, GetParam());
  bench.forward();
  bench.stage->backward(0, 0);
  EXPECT_EQ(bench.body->all(), times(1));
}

TEST_P(Walks, IAndThenWIsOne) {
  Bench bench({.rule = "global"}, 3, 1, GetParam());
  bench.forward();
  bench.stage->input_gradient(0, 0);
  EXPECT_EQ(bench.body->all(), times(1));
  bench.stage->weight_gradient(0);
  EXPECT_EQ(bench.body->all(), times(1)) << "W walked again";
}

TEST_P(Walks, WBeforeIIsTwo) {
  Bench bench({.rule = "global"}, 3, 1, GetParam());
  bench.forward();
  bench.stage->weight_gradient(0);
  EXPECT_EQ(bench.body->all(), times(1));
  bench.stage->input_gradient(0, 0);
  EXPECT_EQ(bench.body->all(), times(2));
}

// sum(2): what teaches the middle stage is its loss and the next, what it passes on its own loss alone.
TEST_P(Walks, AStreamThatDoesNotTeachIsOneMore) {
  Bench bench({.rule = "sum", .horizon = 2}, 3, 1, GetParam());
  ASSERT_EQ(bench.flow(1).joint, -1);
  ASSERT_EQ(bench.flow(1).outgoing.size(), 1U);
  bench.forward();
  bench.stage->input_gradient(0, 0);
  bench.stage->weight_gradient(0);
  EXPECT_EQ(bench.body->all(), times(2));
}

INSTANTIATE_TEST_SUITE_P(All, Walks, testing::Values(Recompute::none, Recompute::block, Recompute::stage),
                         [](const auto& one) {
                           return one.param == Recompute::none    ? "kept"
                                  : one.param == Recompute::block ? "block_again"
                                                                  : "stage_again";
                         });

// ---- What is frozen

TEST(FrozenGraph, BeginsAtTheLowestSegmentThatTrainsWhereNothingIsPassedOn) {
  for (const Recompute recompute : {Recompute::none, Recompute::block, Recompute::stage}) {
    Bench bench({.rule = "local"}, 2, 0, recompute, {0, 1});
    bench.forward();
    bench.stage->weight_gradient(0);
    for (const int64_t segment : {0, 1}) {
      EXPECT_EQ(bench.body->counts(segment).graphs, 0) << segment;
      EXPECT_EQ(bench.body->counts(segment).walks, 0) << segment;
    }
    EXPECT_EQ(bench.body->counts(2).graphs, 1);
    EXPECT_EQ(bench.body->counts(2).walks, 1);
    // Recomputing blocks, those below are not even run again.
    EXPECT_EQ(bench.body->counts(0).runs, recompute == Recompute::stage ? 2 : 1);
  }
}

TEST(FrozenGraph, GoesThroughFrozenSegmentsWhereAStreamIsPassedOn) {
  for (const Recompute recompute : {Recompute::none, Recompute::block, Recompute::stage}) {
    Bench bench({.rule = "global"}, 3, 1, recompute, {0, 2});
    bench.forward();
    const at::Tensor passed = bench.stage->backward(0, 0);
    EXPECT_EQ(bench.body->all().walks, segments);
    ASSERT_NE(bench.stage->body_group(), nullptr);
    ASSERT_EQ(bench.stage->body_group()->parameters().size(), 2U);
    EXPECT_EQ(bench.stage->body_group()->parameters()[0].name, "weight1");
    EXPECT_EQ(bench.stage->body_group()->parameters()[1].name, "bias1");
    // Frozen or not, the same is passed on, and the same is learned.
    Bench trained({.rule = "global"}, 3, 1, recompute);
    trained.forward();
    EXPECT_TRUE(bit_equal(trained.stage->backward(0, 0), passed));
    EXPECT_TRUE(bit_equal(trained.stage->body_group()->parameters()[2].gradient,
                          bench.stage->body_group()->parameters()[0].gradient));
  }
}

TEST(FrozenGraph, IsNowhereInAStageWithNothingToTrainAndNothingToPassOn) {
  for (const Recompute recompute : {Recompute::none, Recompute::block, Recompute::stage}) {
    Bench bench({.rule = "global", .untrained = {0}}, 2, 0, recompute, {0, 1, 2});
    EXPECT_TRUE(bench.flow(0).incoming.empty()) << "a gradient comes that nobody wants";
    EXPECT_TRUE(bench.flow(1).outgoing.empty());
    bench.forward();
    EXPECT_EQ(bench.body->all(), (Counts{segments, 0, 0}));
    EXPECT_EQ(bench.stage->body_group(), nullptr);
    EXPECT_THROW(bench.stage->weight_gradient(0), Error) << "the microbatch was kept";
  }
}

TEST(OwnLoss, AGradientThatRepeatsOneValueIsScaled) {
  const auto gradient = [](bool repeated) {
    Bench bench({.rule = "local"}, 3, 1, Recompute::none, {}, false, std::make_shared<PlainSumHead>(repeated));
    bench.stage->forward(0, some_numbers(counting_shape, at::kFloat), std::make_shared<Batch>(), {});
    bench.stage->loss(0, 4);
    bench.stage->weight_gradient(0);
    return bench.stage->body_group()->gradient().clone();
  };
  EXPECT_TRUE(bit_equal(gradient(true), gradient(false)));
}

// All bodies are frozen, the readout learns from its own loss alone.
TEST(FrozenGraph, OfBodiesBelowAReadoutThatTrains) {
  Bench bench({.rule = "global", .untrained = {0, 1}}, 2, 1, Recompute::none, {0, 1, 2});
  EXPECT_TRUE(bench.flow(1).has_loss);
  bench.forward();
  EXPECT_EQ(bench.body->all(), (Counts{segments, 0, 0}));
  ASSERT_EQ(bench.stage->active_groups().size(), 1U);
  EXPECT_GT(bench.stage->active_groups()[0]->gradient().abs().sum().item<double>(), 0);
}

TEST(FrozenGraph, AFrozenReadoutTeachesTheBodyAndHasNoGroup) {
  Bench frozen({.rule = "global"}, 2, 1, Recompute::none, {}, true), trained({.rule = "global"}, 2, 1);
  ASSERT_EQ(frozen.stage->groups().size(), 1U);
  frozen.forward(), trained.forward();
  EXPECT_TRUE(bit_equal(frozen.stage->backward(0, 0), trained.stage->backward(0, 0)));
  EXPECT_TRUE(bit_equal(frozen.stage->body_group()->gradient(), trained.stage->body_group()->gradient()));
}

// A local head that teaches nobody and does not train: its loss is a number.
TEST(FrozenGraph, AFrozenHeadThatTeachesNobodyStillHasALoss) {
  Flows flows = derive_flows(make_rule({.rule = "global"}, 2), HeadPolicy::all);
  Bench bench({.rule = "global"}, 2, 0, Recompute::none, {}, true);
  bench.stage->follow(flows.stages[0]);
  EXPECT_FALSE(flows.stages[0].own_loss_used);
  bench.stage->forward(0, some_numbers(counting_shape, at::kFloat), std::make_shared<Batch>(), {});
  const LossSum loss = bench.stage->loss(0, 1);
  EXPECT_EQ(loss.count, 3);
  EXPECT_NE(loss.sum.item<double>(), 0);
  bench.stage->deliver(0, 0, some_numbers(counting_shape, at::kFloat));
  bench.stage->weight_gradient(0);
  EXPECT_EQ(bench.body->all().walks, segments);
}

}  // namespace
}  // namespace interlock
