// Segments: what an engine relies on when it walks, recomputes and reduces them one by one.
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "tests/models/support.h"

namespace interlock::tests {
namespace {

const std::string tokens = "layers = 3\nwidth = 32\nheads = 4\nfeed_forward = 48\nvocabulary = 60\nmax_length = 12\n";

struct Case {
  const char* name;
  const char* dropout;
  Precision precision;
  Unit unit = Unit::block;  // of half blocks, slices of three hold one and a half
};

class Segments : public testing::TestWithParam<Case> {
 protected:
  bool is_gpt() const { return std::string(GetParam().name) == "gpt"; }
  bool reads_tokens() const { return std::string(GetParam().name) != "mlp"; }
  std::unique_ptr<Model> model() const {
    const std::string lines = reads_tokens() ? tokens : "layers = 3\nwidth = 16\n";
    return make_model({.name = GetParam().name,
                       .toml = lines + GetParam().dropout,
                       .classes = reads_tokens() ? 0 : 3,
                       .features = 4,
                       .precision = GetParam().precision,
                       .unit = GetParam().unit,
                       .objective = is_gpt() ? Objective::causal : Objective::masked});
  }
  Batch batch() const {
    if (reads_tokens()) return token_batch(3, 12, 60, {12, 5, 9});
    Batch numbers;
    numbers.inputs = some_numbers({3, 4}, at::kFloat);
    numbers.sample_ids = {4, 5, 6};
    return numbers;
  }
};

// Walks back through segments run one by one, each on a detached input, as an engine does. The gradients of all
// parameters in order, then the output's.
std::vector<at::Tensor> walked(const std::vector<std::shared_ptr<Body>>& slices, const Batch& batch, bool recompute) {
  const ForwardContext context{&batch, 5, 17, true};
  struct Kept {
    Body* body;
    int64_t segment;
    at::Tensor input, output;
  };
  std::vector<Kept> kept;
  at::Tensor hidden = batch.inputs;
  for (const auto& slice : slices) {
    for (int64_t i = 0; i < slice->segments(); ++i) {
      at::Tensor input = hidden.detach();
      if (!kept.empty()) input.requires_grad_();
      const at::Tensor output = slice->forward_segment(i, input, context);
      kept.push_back({slice.get(), i, input, recompute ? at::Tensor() : output});
      hidden = output.detach();
    }
  }
  at::Tensor gradient = some_numbers(hidden.sizes().vec(), hidden.scalar_type());
  std::vector<std::vector<at::Tensor>> by_segment(kept.size());
  for (size_t k = kept.size(); k-- > 0;) {
    const at::Tensor output =
        recompute ? kept[k].body->forward_segment(kept[k].segment, kept[k].input, context) : kept[k].output;
    std::vector<at::Tensor> inputs = kept[k].body->segment_parameters(kept[k].segment);
    if (k > 0) inputs.push_back(kept[k].input);
    by_segment[k] = torch::autograd::grad({output}, inputs, {gradient});
    if (k == 0) break;
    gradient = by_segment[k].back();
    by_segment[k].pop_back();
  }
  std::vector<at::Tensor> all;
  for (const auto& some : by_segment) all.insert(all.end(), some.begin(), some.end());
  all.push_back(hidden);
  return all;
}

void expect_equal(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(bit_equal(a[i], b[i])) << i;
}

TEST_P(Segments, AreTheSliceInOrder) {
  const auto of = model();
  const int64_t before = reads_tokens() ? 1 : 0;
  EXPECT_EQ(of->body(0, 3)->segments(), 3 + before);
  EXPECT_EQ(of->body(0, 1)->segments(), 1 + before);
  EXPECT_EQ(of->body(1, 3)->segments(), 2);
  for (const auto& [begin, end] : {std::pair{0, 3}, {1, 3}}) {
    const auto body = of->body(begin, end);
    std::vector<at::Tensor> of_segments;
    for (int64_t i = 0; i < body->segments(); ++i)
      for (const at::Tensor& own : body->segment_parameters(i)) of_segments.push_back(own);
    const auto all = body->parameters();
    ASSERT_EQ(of_segments.size(), all.size());
    for (size_t i = 0; i < all.size(); ++i) EXPECT_TRUE(of_segments[i].is_same(all[i])) << i;
  }
}

TEST_P(Segments, GiveTheSameBitsHoweverOftenTheyRun) {
  const auto body = model()->body(0, 3);
  const Batch given = batch();
  const ForwardContext context{&given, 5, 17, true};
  at::Tensor hidden = given.inputs;
  for (int64_t i = 0; i < body->segments(); ++i) {
    const at::Tensor before = hidden.clone();
    const at::Tensor first = body->forward_segment(i, hidden, context);
    {
      const at::NoGradGuard no_graph;  // what a recomputing engine runs first
      EXPECT_TRUE(bit_equal(body->forward_segment(i, hidden, context), first));
    }
    EXPECT_TRUE(bit_equal(body->forward_segment(i, hidden, context), first));
    EXPECT_TRUE(bit_equal(hidden, before)) << "a segment changed its input";
    hidden = first.detach();
  }
  EXPECT_TRUE(bit_equal(body->forward(given.inputs, context), hidden));
}

TEST_P(Segments, GradientsAreBitEqualRecomputedAndOverAnySlicing) {
  const auto of = model();
  const Batch given = batch();
  const auto whole = walked({of->body(0, 3)}, given, false);
  expect_equal(walked({of->body(0, 3)}, given, true), whole);
  expect_equal(walked({of->body(0, 1), of->body(1, 3)}, given, false), whole);
  expect_equal(walked({of->body(0, 2), of->body(2, 3)}, given, true), whole);
  // In one graph: autograd sums what flows back into a block's input in the same order.
  const auto body = of->body(0, 3);
  const at::Tensor out = body->forward(given.inputs, {&given, 5, 17, true});
  auto gradients =
      torch::autograd::grad({out}, body->parameters(), {some_numbers(out.sizes().vec(), out.scalar_type())});
  gradients.push_back(out);
  expect_equal(gradients, whole);
}

INSTANTIATE_TEST_SUITE_P(
    Models, Segments,
    testing::Values(
        Case{"roberta", "dropout = 0.3\n", Precision::float32}, Case{"roberta", "dropout = 0\n", Precision::float32},
        Case{"roberta", "dropout = 0.3\n", Precision::bf16}, Case{"roberta", "dropout = 0\n", Precision::bf16},
        Case{"roberta", "dropout = 0.2\nattention_dropout = 0\n", Precision::bf16},
        Case{"roberta", "dropout = 0.3\n", Precision::float64},
        Case{"roberta", "dropout = 0.3\n", Precision::float32, Unit::half_block},
        Case{"roberta", "dropout = 0\n", Precision::bf16, Unit::half_block},
        Case{"roberta", "dropout = 0.3\nnorm = \"pre\"\n", Precision::float32},
        Case{"roberta", "dropout = 0\nnorm = \"pre\"\n", Precision::bf16},
        Case{"roberta", "dropout = 0.3\nnorm = \"pre\"\n", Precision::float32, Unit::half_block},
        Case{"gpt", "dropout = 0.3\n", Precision::float32}, Case{"gpt", "dropout = 0\n", Precision::bf16},
        Case{"gpt", "dropout = 0.3\n", Precision::bf16},
        Case{"gpt", "dropout = 0.3\n", Precision::float64, Unit::half_block},
        Case{"mlp", "dropout = 0.3\n", Precision::float32}, Case{"mlp", "dropout = 0.3\n", Precision::bf16}));

}  // namespace
}  // namespace interlock::tests
