// Gradients of heads and of our own autograd functions against central differences in double precision.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/linear.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>

#include "models/blocks/functions.h"
#include "tests/models/support.h"

namespace interlock::tests {
namespace {

const std::string tiny = "layers = 2\nwidth = 8\nheads = 2\nfeed_forward = 12\nvocabulary = 20\nmax_length = 6\n";

// (f(p + h) - f(p - h)) / 2h for every entry of `place`.
std::vector<double> differences(const at::Tensor& place, const std::function<double()>& f) {
  const at::NoGradGuard no_grad;
  constexpr double h = 1e-5;
  std::vector<double> slopes;
  double* values = place.mutable_data_ptr<double>();
  for (int64_t i = 0; i < place.numel(); ++i) {
    const double kept = values[i];
    values[i] = kept + h;
    const double above = f();
    values[i] = kept - h;
    const double below = f();
    values[i] = kept;
    slopes.push_back((above - below) / (2 * h));
  }
  return slopes;
}

// Truncation is of order h^2 f''' = 1e-10, rounding of order 2^-53 f / h = 1e-10 for losses near 20.
constexpr double tolerance = 1e-7;

struct HeadCase {
  const char* kind;  // "" is the model's own readout
  const char* dropout;
};

class HeadGradient : public testing::TestWithParam<HeadCase> {};

TEST_P(HeadGradient, MatchesCentralDifferences) {
  const auto model = make_model({.toml = tiny + GetParam().dropout, .precision = Precision::float64});
  const std::string kind = GetParam().kind;
  const auto head = kind.empty() ? model->readout() : model->head(kind, 2);
  const Batch batch = token_batch(2, 6, 20, {6, 4});
  const ForwardContext context{&batch, 1, 4, true};
  const auto hidden = some_numbers({2, 6, 8}, at::kDouble).requires_grad_();
  const auto loss = [&] { return head->loss(hidden, context).sum.item<double>(); };
  head->loss(hidden, context).sum.backward();
  EXPECT_LT(largest_difference(listed(hidden.grad()), differences(hidden, loss)), tolerance);
  for (const auto& entry : head->named_parameters()) {
    EXPECT_LT(largest_difference(listed(entry.value().grad()), differences(entry.value(), loss)), tolerance)
        << entry.key();
  }
}

INSTANTIATE_TEST_SUITE_P(Heads, HeadGradient,
                         testing::Values(HeadCase{"", "dropout = 0\n"}, HeadCase{"linear", "dropout = 0\n"},
                                         HeadCase{"block", "dropout = 0\n"}, HeadCase{"block", "dropout = 0.3\n"}));

TEST(BodyGradient, MatchesCentralDifferencesWithDropoutAndPadding) {
  const auto model = make_model({.toml = tiny + "dropout = 0.2\n", .precision = Precision::float64});
  const auto body = model->body(0, 1);
  const Batch batch = token_batch(2, 6, 20, {6, 4});
  const ForwardContext context{&batch, 1, 4, true};
  const auto weights = some_numbers({2, 6, 8}, at::kDouble);
  const auto f = [&] { return (body->forward(batch.inputs, context) * weights).sum(); };
  f().backward();
  for (const auto& entry : body->named_parameters()) {
    auto expected = differences(entry.value(), [&] { return f().item<double>(); });
    if (entry.key().ends_with("word_embeddings.weight") || entry.key().ends_with("position_embeddings.weight")) {
      for (size_t i = 8; i < 16; ++i) expected[i] = 0;  // the row of padding never learns
    }
    // Embeddings of size 0.02 pass through a norm that divides by it: derivatives grow 50-fold per order, so h^2 f'''
    // is 1e-10 * 50^3 = 1e-5 of these gradients.
    const double bound = std::max(1.0, largest(expected)) * 2e-4;
    EXPECT_LT(largest_difference(listed(entry.value().grad()), expected), bound) << entry.key();
  }
}

TEST(Linear, OneDnnAndBlasAgreeAndOnlyTheAskedGradientsAreMade) {
  // 256 * 256 * 256 multiplications are enough for oneDNN; the library's own linear takes the other way.
  const auto x = some_numbers({256, 256}, at::kFloat).requires_grad_();
  const auto weight = some_numbers({256, 256}, at::kFloat).t().contiguous().requires_grad_();
  const auto bias = some_numbers({256}, at::kFloat).requires_grad_();
  const auto factor = some_numbers({256, 256}, at::kFloat);
  const auto ours = torch::autograd::grad({linear(x, weight, bias)}, {x, weight, bias}, {factor});
  const auto theirs = torch::autograd::grad({at::linear(x, weight, bias)}, {x, weight, bias}, {factor});
  const auto expect_close = [](const at::Tensor& a, const at::Tensor& b) {
    // Sums of 256 products in another order: each of 256 additions rounds by 2^-24 of a sum no larger than the largest.
    EXPECT_LT(largest_difference(listed(a), listed(b)), 256 * 0x1p-24 * largest(listed(b)));
  };
  for (size_t i = 0; i < 3; ++i) expect_close(ours[i], theirs[i]);
  expect_close(linear(x, weight, bias), at::linear(x, weight, bias));
  // Without a bias there is none to ask for.
  const auto bare = torch::autograd::grad({linear(x, weight, at::Tensor())}, {x, weight}, {factor});
  EXPECT_TRUE(bit_equal(bare[0], ours[0]));
  EXPECT_TRUE(bit_equal(bare[1], ours[1]));
  // The halves of a backward pass add up to the whole, bit by bit.
  const auto y = linear(x, weight, bias);
  const auto input_only = torch::autograd::grad({y}, {x}, {factor}, true);
  const auto weights_only = torch::autograd::grad({y}, {weight, bias}, {factor});
  EXPECT_TRUE(bit_equal(input_only[0], ours[0]));
  EXPECT_TRUE(bit_equal(weights_only[0], ours[1]));
  EXPECT_TRUE(bit_equal(weights_only[1], ours[2]));
}

TEST(CrossEntropy, EqualsTheLibrarysAndMayBeWalkedTwice) {
  // 300 rows of 1000 floats are three cache blocks of 131 rows.
  const auto logits = (some_numbers({300, 1000}, at::kFloat) * 20).requires_grad_();
  const Batch batch = token_batch(1, 300, 1000);
  const auto targets = batch.inputs[0];
  const auto theirs = at::cross_entropy_loss(logits, targets, {}, at::Reduction::Sum);
  const auto expected = torch::autograd::grad({theirs}, {logits})[0];
  const auto ours = cross_entropy_sum(logits.clone(), targets);
  const auto from_clone = logits.clone();
  const auto again = cross_entropy_sum(from_clone, targets);
  EXPECT_NEAR(ours.item<double>(), theirs.item<double>(), 1e-5 * theirs.item<double>());  // 300 numbers of 24 bits
  const auto first = torch::autograd::grad({again}, {from_clone}, {}, true)[0];
  // A softmax of 24-bit numbers: entries up to 1, each right to some 2^-22.
  EXPECT_LT(largest_difference(listed(first), listed(expected)), 1e-6);
  const auto halved = torch::autograd::grad({again}, {from_clone}, {at::full_like(again, 0.5)}, true)[0];
  EXPECT_TRUE(bit_equal(halved, first * 0.5));
  EXPECT_TRUE(bit_equal(torch::autograd::grad({again}, {from_clone})[0], first));
}

TEST(CrossEntropy, StaysFiniteWhereAProbabilityUnderflows) {
  const auto logits = (integers({{0, 1000, -1000}, {500, 500, 0}}).to(at::kFloat)).requires_grad_();
  const auto own = logits.clone();
  const auto loss = cross_entropy_sum(own, integers({{2, 1}})[0]);
  EXPECT_FLOAT_EQ(loss.item<float>(), 2000 + std::log(2.0F));
  const std::vector<double> by_hand = {0, 1, -1, 0.5, -0.5, 0};
  EXPECT_EQ(listed(torch::autograd::grad({loss}, {own})[0]), by_hand);
}

TEST(CrossEntropy, RefusesATargetThatIsNoClass) {
  const auto logits = some_numbers({2, 10}, at::kFloat).requires_grad_();
  EXPECT_ANY_THROW(cross_entropy_sum(logits.clone(), integers({{3, 10}})[0]));
}

}  // namespace
}  // namespace interlock::tests
