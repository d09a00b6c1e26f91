// A segment that is left out of a microbatch's passes: nothing runs and nothing is walked back, what it was given goes
// on as it is, and its parameters have a gradient of zero.
#include <gtest/gtest.h>

#include <optional>
#include <set>

#include <torch/csrc/autograd/autograd.h>

#include "tests/stage/support.h"

namespace interlock {
namespace {

using namespace tests;
using Counts = CountingBody::Counts;

constexpr int segments = 4;

struct Bench {
  // The middle one of three stages; segments of `left_out` are left out of microbatch 1, while it trains.
  Bench(std::set<int64_t> left_out, Recompute recompute, const RuleRequest& rule = {.rule = "global"})
      : flows(derive_flows(make_rule(rule, 3), HeadPolicy::needed)), body(std::make_shared<CountingBody>(segments)) {
    Stage::Parts parts;
    parts.body = body;
    parts.make_optimizer = optimizer_of("");
    parts.recompute = recompute;
    parts.layers = {-1, 5, 6, 7};
    parts.runs = [left_out](int64_t layer, const ForwardContext& context) {
      return context.microbatch != 1 || !left_out.contains(layer);
    };
    stage.emplace(1, std::move(parts));
    stage->follow(flows.stages[1]);
  }
  at::Tensor forward(int microbatch, const at::Tensor& input = some_numbers(counting_shape, at::kFloat)) {
    ForwardContext context;
    context.microbatch = microbatch;
    at::Tensor output = stage->forward(microbatch, input.detach(), std::make_shared<Batch>(), context);
    stage->deliver(microbatch, 0, gradient);
    return output;
  }
  const std::vector<Parameter>& parameters() { return stage->body_group()->parameters(); }

  const at::Tensor gradient = some_numbers(counting_shape, at::kFloat) * 3;
  Flows flows;
  std::shared_ptr<CountingBody> body;
  std::optional<Stage> stage;
};

class LeftOut : public testing::TestWithParam<Recompute> {
 protected:
  bool again() const { return GetParam() != Recompute::none; }
};

TEST_P(LeftOut, ComputesNothingThatWay) {
  for (const bool at_once : {true, false}) {
    Bench bench({5, 7}, GetParam());
    bench.forward(1);
    if (at_once) {
      bench.stage->backward(1, 0);
    } else {
      bench.stage->input_gradient(1, 0);
      bench.stage->weight_gradient(1);
    }
    for (const int64_t segment : {1, 3}) EXPECT_EQ(bench.body->counts(segment), (Counts{0, 0, 0})) << segment;
    for (const int64_t segment : {0, 2}) {
      EXPECT_EQ(bench.body->counts(segment).runs, again() ? 2 : 1) << segment;
      EXPECT_EQ(bench.body->counts(segment).walks, 1) << segment;
    }
    for (size_t i = 0; i < bench.parameters().size(); ++i) {
      const bool runs = i / 2 == 0 || i / 2 == 2;  // a weight and a bias each
      EXPECT_EQ(bench.parameters()[i].gradient.abs().sum().item<double>() > 0, runs) << i;
    }
  }
}

// What the others learn is what a stage without that segment teaches them.
TEST_P(LeftOut, LeavesTheStageWithoutIt) {
  Bench bench({5}, GetParam());
  const at::Tensor output = bench.forward(1), passed = bench.stage->backward(1, 0);
  at::Tensor x = some_numbers(counting_shape, at::kFloat).requires_grad_();
  at::Tensor y = x;
  for (const int64_t segment : {0, 2, 3}) y = bench.body->forward_segment(segment, y, {});
  EXPECT_TRUE(bit_equal(output, y));
  std::vector<at::Tensor> wanted{x};
  for (const int64_t segment : {0, 2, 3})
    for (const at::Tensor& own : bench.body->segment_parameters(segment)) wanted.push_back(own);
  const auto truth = torch::autograd::grad({y}, wanted, {bench.gradient});
  EXPECT_TRUE(bit_equal(passed, truth[0]));
  const size_t places[] = {0, 1, 4, 5, 6, 7};
  for (size_t i = 0; i < 6; ++i) EXPECT_TRUE(bit_equal(bench.parameters()[places[i]].gradient, truth[i + 1])) << i;
}

TEST_P(LeftOut, AddsNothingToWhatOtherMicrobatchesTeach) {
  Bench with({5}, GetParam()), alone({5}, GetParam());
  with.forward(0), with.forward(1), alone.forward(0);
  with.stage->backward(0, 0), with.stage->backward(1, 0), alone.stage->backward(0, 0);
  for (const size_t i : {2, 3}) EXPECT_TRUE(bit_equal(with.parameters()[i].gradient, alone.parameters()[i].gradient));
}

TEST_P(LeftOut, AWholeStageHandsOnWhatItWasGiven) {
  Bench bench({5, 6, 7}, GetParam());
  // Segment 0 is nothing to leave out: a stage that begins with a layer.
  Stage::Parts parts;
  parts.body = std::make_shared<CountingBody>(2);
  parts.make_optimizer = optimizer_of("weight_decay = 0.5\nlearning_rate = 0.1");
  parts.recompute = GetParam();
  parts.layers = {3, 4};
  parts.runs = [](int64_t, const ForwardContext&) { return false; };
  Stage stage(1, std::move(parts));
  stage.follow(bench.flows.stages[1]);
  const at::Tensor input = some_numbers(counting_shape, at::kFloat), gradient = input * 2;
  const at::Tensor output = stage.forward(0, input, std::make_shared<Batch>(), {});
  EXPECT_EQ(output.const_data_ptr(), input.const_data_ptr()) << "copied";
  EXPECT_FALSE(output.requires_grad());
  stage.deliver(0, 0, gradient);
  EXPECT_EQ(stage.backward(0, 0).const_data_ptr(), gradient.const_data_ptr()) << "copied";
  EXPECT_THROW(stage.weight_gradient(0), Error) << "the microbatch is kept";
  // A gradient of zero is one: decay goes on.
  TrainableGroup& group = *stage.body_group();
  EXPECT_EQ(group.gradient().abs().sum().item<double>(), 0);
  const at::Tensor before = group.values().clone();
  group.update(UpdateNumbers::of(0.1));
  EXPECT_FALSE(bit_equal(group.values(), before));
}

TEST_P(LeftOut, IsForTrainingAlone) {
  Bench bench({5, 6, 7}, GetParam());
  const at::Tensor input = some_numbers(counting_shape, at::kFloat);
  ForwardContext context;
  context.microbatch = 1;
  context.training = false;
  const at::Tensor all = bench.stage->evaluate(input, context);
  EXPECT_TRUE(bit_equal(all, bench.body->forward(input, {})));
  EXPECT_TRUE(bench.stage->left_out(context).empty());
  context.training = true;
  EXPECT_EQ(bench.stage->left_out(context), (std::vector<int64_t>{5, 6, 7}));
  context.microbatch = 0;
  EXPECT_TRUE(bench.stage->left_out(context).empty());
}

INSTANTIATE_TEST_SUITE_P(All, LeftOut, testing::Values(Recompute::none, Recompute::block, Recompute::stage),
                         [](const auto& one) {
                           return one.param == Recompute::none    ? "kept"
                                  : one.param == Recompute::block ? "block_again"
                                                                  : "stage_again";
                         });

}  // namespace
}  // namespace interlock
