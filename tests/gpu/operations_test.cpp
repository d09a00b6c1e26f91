// Our operations on a GPU against float64 on the CPU, and against the CPU's bodies where these have to be met exactly.
#include <ATen/TensorOperators.h>
#include <ATen/core/Reduction.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/native_layer_norm.h>
#include <ATen/ops/native_layer_norm_backward.h>
#include <ATen/ops/one_hot.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include "models/blocks/fused_attention.h"
#include "models/blocks/operations.h"
#include "runtime/optimization/squares.h"
#include "tests/gpu/gpu.h"

namespace interlock {
namespace {

// Keyed numbers in (-1, 1), rounded to `type`.
at::Tensor numbers(std::vector<int64_t> shape, at::ScalarType type, uint64_t seed) {
  at::Tensor out = at::zeros(shape, at::kDouble);
  double* values = out.mutable_data_ptr<double>();
  const RandomKey key = random_key(seed, Purpose::synthetic_data);
  for (int64_t i = 0; i < out.numel(); ++i)
    values[i] = 2 * unit_interval(philox(key, 0, static_cast<uint64_t>(i))[0]) - 1;
  return out.to(type);
}

at::Tensor wide(const at::Tensor& tensor) { return tensor.cpu().to(at::kDouble); }

// The largest difference, as a share of the truth's largest number.
double error(const at::Tensor& found, const at::Tensor& truth) {
  return ((wide(found) - truth).abs().max() / truth.abs().max()).item<double>();
}

// Rounding of a number of the type, and of sums of a few thousand products in float.
double tolerance(at::ScalarType type) { return type == at::kBFloat16 ? 0x1p-8 : 2e-6; }

class Operations : public testing::TestWithParam<at::ScalarType> {};

TEST_P(Operations, DropoutDrawsAsTheCpuDoes) {
  NEEDS_GPU();
  const Device gpu = gpu_for_test();
  const at::Tensor samples = at::tensor({int64_t{7}, int64_t{1} << 40, int64_t{3}});
  const RandomKey key = random_key(1, Purpose::dropout, 5, 2, 1);
  for (const std::vector<int64_t>& shape : {std::vector<int64_t>{3, 5, 64}, {3, 7}, {3, 1}}) {
    const at::Tensor x = numbers(shape, GetParam(), 1);
    const auto [out, kept] = operations::keyed_dropout(x, 0.3, key, samples);
    const auto [there, kept_there] = operations::keyed_dropout(x.to(gpu.at), 0.3, key, samples.to(gpu.at));
    EXPECT_TRUE(at::equal(out, there.cpu())) << x.sizes();
    const at::Tensor gradient = numbers(shape, GetParam(), 2);
    const at::Tensor back = operations::keyed_dropout_backward(gradient, kept, 0.3, key, samples);
    const at::Tensor back_there =
        operations::keyed_dropout_backward(gradient.to(gpu.at), kept_there, 0.3, key, samples.to(gpu.at));
    EXPECT_TRUE(at::equal(back, back_there.cpu())) << x.sizes();
    at::Tensor marked = x.abs(), marked_there = marked.to(gpu.at);
    operations::mark_dropped_(marked, 0.3, key, samples);
    operations::mark_dropped_(marked_there, 0.3, key, samples.to(gpu.at));
    EXPECT_TRUE(at::equal(marked, marked_there.cpu())) << x.sizes();
  }
}

TEST_P(Operations, CrossEntropy) {
  NEEDS_GPU();
  const Device gpu = gpu_for_test();
  const int64_t rows = 37, with_target = 33, classes = 1003;
  const at::Tensor logits = numbers({rows, classes}, GetParam(), 3) * 20, exact = logits.to(at::kDouble);
  const at::Tensor targets = at::arange(with_target, at::kLong) * 29;
  at::Tensor there = logits.to(gpu.at);
  const at::Tensor loss = operations::softmax_cross_entropy_(there, targets.to(gpu.at));
  const at::Tensor used = exact.narrow(0, 0, with_target);
  const double truth = at::cross_entropy_loss(used, targets, {}, at::Reduction::Sum).item<double>();
  EXPECT_NEAR(loss.item<double>(), truth, 1e-5 * truth);
  const at::Tensor gradient = used.softmax(1) - at::one_hot(targets, classes);
  EXPECT_LT(error(there.narrow(0, 0, with_target), gradient), tolerance(GetParam()));
  EXPECT_EQ(there.narrow(0, with_target, rows - with_target).abs().max().item<double>(), 0);
  const at::Tensor same = operations::times(there, at::tensor(1.0f).to(gpu.at));
  EXPECT_EQ(same.data_ptr(), there.data_ptr());
  EXPECT_LT(error(same.narrow(0, 0, with_target), gradient), tolerance(GetParam()));
  const at::Tensor half = operations::times(there, at::tensor(0.5f).to(gpu.at));
  EXPECT_LT(error(half.narrow(0, 0, with_target), gradient * 0.5), tolerance(GetParam()));
}

TEST_P(Operations, Norm) {
  NEEDS_GPU();
  const Device gpu = gpu_for_test();
  for (const int64_t width : {int64_t{768}, int64_t{30}}) {
    const at::Tensor x = numbers({3, 700, width}, GetParam(), 4) + 3, weight = numbers({width}, at::kFloat, 5) + 2,
                     bias = numbers({width}, at::kFloat, 6), gradient = numbers({3, 700, width}, GetParam(), 7);
    const auto [truth, mean, inverse] = at::native_layer_norm(wide(x), {width}, wide(weight), wide(bias), 1e-5);
    const operations::Norm there = operations::norm(x.to(gpu.at), weight.to(gpu.at), bias.to(gpu.at), 1e-5);
    EXPECT_LT(error(there.result, truth), tolerance(GetParam()));
    const auto [of_x, of_weight, of_bias] = at::native_layer_norm_backward(
        wide(gradient), wide(x), {width}, mean, inverse, wide(weight), wide(bias), {true, true, true});
    const operations::NormGradients found =
        operations::norm_backward(gradient.to(gpu.at), x.to(gpu.at), there, weight.to(gpu.at));
    EXPECT_LT(error(found.input, of_x), tolerance(GetParam()));
    EXPECT_LT(error(found.weight, of_weight), 1e-5);  // sums of 2100 numbers in float
    EXPECT_LT(error(found.bias, of_bias), 1e-5);
  }
}

TEST_P(Operations, DropoutResidualAndNormInOne) {
  NEEDS_GPU();
  const Device gpu = gpu_for_test();
  const at::Tensor samples = at::tensor({int64_t{7}, int64_t{1} << 40, int64_t{3}});
  const RandomKey key = random_key(1, Purpose::dropout, 5, 2, 1);
  for (const int64_t width : {int64_t{128}, int64_t{768}, int64_t{1024}})
    for (const double rate : {0.0, 0.1}) {
      const std::vector<int64_t> shape{3, 50, width};
      const at::Tensor x = numbers(shape, GetParam(), 14), y = numbers(shape, GetParam(), 15),
                       weight = numbers({width}, at::kFloat, 16) + 2, bias = numbers({width}, at::kFloat, 17),
                       gradient = numbers(shape, GetParam(), 18);
      ASSERT_TRUE(operations::residual_norm_takes(x.to(gpu.at)));
      const auto [dropped, kept] =
          rate > 0 ? operations::keyed_dropout(y, rate, key, samples) : std::pair(y, at::Tensor());
      const at::Tensor sum = x + dropped;
      const operations::ResidualNorm there = operations::residual_norm(
          x.to(gpu.at), y.to(gpu.at), weight.to(gpu.at), bias.to(gpu.at), 1e-5, rate, key, samples.to(gpu.at));
      EXPECT_TRUE(at::equal(there.sum.cpu(), sum)) << width << ", " << rate;
      const auto [truth, mean, inverse] = at::native_layer_norm(wide(sum), {width}, wide(weight), wide(bias), 1e-5);
      EXPECT_LT(error(there.result, truth), tolerance(GetParam()));
      const auto [of_sum, of_weight, of_bias] = at::native_layer_norm_backward(
          wide(gradient), wide(sum), {width}, mean, inverse, wide(weight), wide(bias), {true, true, true});
      const operations::ResidualNormGradients found = operations::residual_norm_backward(
          gradient.to(gpu.at), there, weight.to(gpu.at), rate, key, samples.to(gpu.at));
      EXPECT_LT(error(found.x, of_sum), tolerance(GetParam()));
      const at::Tensor of_y = rate > 0 ? operations::keyed_dropout_backward(of_sum, kept, rate, key, samples) : of_sum;
      EXPECT_LT(error(found.y, of_y), 2 * tolerance(GetParam()));  // rounded twice
      EXPECT_LT(error(found.weight, of_weight), 1e-5);
      EXPECT_LT(error(found.bias, of_bias), 1e-5);
    }
}

TEST_P(Operations, ProductsOfAnOddNumberOfClasses) {
  NEEDS_GPU();
  const Device gpu = gpu_for_test();
  const at::Tensor x = numbers({48, 64}, GetParam(), 20), weight = numbers({1003, 64}, GetParam(), 21),
                   bias = numbers({1003}, GetParam(), 22);
  const at::Tensor found = operations::product(x.to(gpu.at), weight.to(gpu.at), bias.to(gpu.at));
  // The bias may be added to a product that is rounded already.
  EXPECT_LT(error(found, at::matmul(wide(x), wide(weight).t()) + wide(bias)), 2 * tolerance(GetParam()));
  const at::Tensor back = operations::product(found, weight.to(gpu.at).t(), std::nullopt);
  EXPECT_LT(error(back, at::matmul(wide(found), wide(weight))), 2 * tolerance(GetParam()));  // rounded twice
  at::Tensor sum = at::zeros({1003, 64}, at::TensorOptions(gpu.at)), of_bias = at::zeros({1003}, sum.options());
  operations::add_product_(sum, found, x.to(gpu.at), 1.0, true);
  EXPECT_LT(error(sum, at::matmul(wide(found).t(), wide(x))), 1e-5);
  operations::add_row_sum_(of_bias, found, 1.0, true);
  EXPECT_LT(error(of_bias, wide(found).sum(0)), 1e-5);
}

TEST_P(Operations, GradientsAreAddedUpWhereTheyStay) {
  NEEDS_GPU();
  const Device gpu = gpu_for_test();
  const at::Tensor rows = numbers({1500, 60}, GetParam(), 8), x = numbers({1500, 52}, GetParam(), 9);
  const at::Tensor before = numbers({60, 52}, at::kFloat, 10);
  const at::Tensor product = at::matmul(wide(rows).t(), wide(x));
  at::Tensor sum = before.to(gpu.at);
  operations::add_product_(sum, rows.to(gpu.at), x.to(gpu.at), 0.5, false);
  EXPECT_LT(error(sum, wide(before) + 0.5 * product), 1e-5);
  operations::add_product_(sum, rows.to(gpu.at), x.to(gpu.at), 2.0, true);
  EXPECT_LT(error(sum, 2 * product), 1e-5);
  at::Tensor bias = before[0].to(gpu.at).contiguous();
  operations::add_row_sum_(bias, rows.narrow(1, 0, 52).to(gpu.at), 0.5, false);
  EXPECT_LT(error(bias, wide(before[0]) + 0.5 * wide(rows.narrow(1, 0, 52)).sum(0)), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Types, Operations, testing::Values(at::kFloat, at::kBFloat16),
                         [](const auto& tested) { return std::string(c10::toString(tested.param)); });

TEST(FusedAttention, IsOnAverageThatWithoutDropoutAndLooksWhereItMay) {
  NEEDS_GPU();
  const Device gpu = gpu_for_test();
  const int64_t heads = 2, draws = 64, late = 50;
  const std::vector<int64_t> shape{3, 70, 32};
  const at::Tensor q = numbers(shape, at::kBFloat16, 30), k = numbers(shape, at::kBFloat16, 31),
                   v = numbers(shape, at::kBFloat16, 32);
  const auto by_heads = [&](const at::Tensor& x) { return wide(x).view({3, 70, heads, 16}).transpose(1, 2); };
  for (const bool causal : {false, true}) {
    const auto attention = [&](const at::Tensor& keys, int64_t draw) {
      return fused_attention(q.to(gpu.at), keys.to(gpu.at), v.to(gpu.at), heads, causal, 0.1,
                             random_key(1, Purpose::dropout, draw));
    };
    at::Tensor mean = at::zeros(shape, at::kDouble);
    for (int64_t draw = 0; draw < draws; ++draw) mean += wide(attention(k, draw)) / draws;
    const at::Tensor truth =
        at::scaled_dot_product_attention(by_heads(q), by_heads(k), by_heads(v), {}, 0.0, causal).transpose(1, 2);
    // A place that looks at few others is all or nothing: its mean of 64 draws is right to sqrt(0.1 / 0.9 / 64) = 4 %
    // of itself; five of these.
    EXPECT_LT(error(mean, truth.reshape(shape)), 0.2) << causal;
    at::Tensor other = k.clone();
    other.narrow(1, late, 20).fill_(0);
    const at::Tensor here = attention(k, 0).narrow(1, 0, late), there = attention(other, 0).narrow(1, 0, late);
    EXPECT_EQ(at::equal(here, there), causal);
  }
}

TEST(TableRows, AreAddedUpAsOnTheCpu) {
  NEEDS_GPU();
  const Device gpu = gpu_for_test();
  const at::Tensor places = (at::arange(900, at::kLong) * at::arange(900, at::kLong)).remainder(23);
  const at::Tensor rows = numbers({900, 48}, at::kFloat, 11), before = numbers({23, 48}, at::kFloat, 12);
  at::Tensor here = before.clone(), there = before.to(gpu.at);
  operations::add_to_rows_(here, places, rows, 0.5, 1);
  operations::add_to_rows_(there, places.to(gpu.at), rows.to(gpu.at), 0.5, 1);
  EXPECT_LT(error(there, wide(here)), 1e-6);
  EXPECT_TRUE(at::equal(here[1], there[1].cpu())) << "padding has no gradient";
}

TEST(Squares, OfRuns) {
  NEEDS_GPU();
  const Device gpu = gpu_for_test();
  const at::Tensor x = numbers({10'000}, at::kFloat, 13);
  const at::Tensor runs = at::tensor(std::vector<int64_t>{0, 4096, 2, 4096, 8192, 0, 9000, 10'000, 1}).view({3, 3});
  const at::Tensor found = at::zeros({3}, at::TensorOptions(gpu.at).dtype(at::kDouble));
  run_squares(x.to(gpu.at), runs.to(gpu.at), found);
  const at::Tensor squares = wide(x) * wide(x);
  for (int64_t i = 0; i < 3; ++i)
    EXPECT_NEAR(found[runs[i][2].item<int64_t>()].item<double>(),
                squares.slice(0, runs[i][0].item<int64_t>(), runs[i][1].item<int64_t>()).sum().item<double>(), 1e-9);
}

}  // namespace
}  // namespace interlock
