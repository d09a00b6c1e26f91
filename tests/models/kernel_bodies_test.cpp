// What kernels of a GPU compute, run on the host: against LibTorch in float64, and Philox against its own.
#include <ATen/TensorOperators.h>
#include <ATen/core/Reduction.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/native_layer_norm.h>
#include <ATen/ops/native_layer_norm_backward.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include "models/kernels/bodies.h"
#include "runtime/core/random.h"
#include "tests/models/support.h"

namespace interlock::tests {
namespace {

using namespace kernels;

// `with` over every 32nd number from each of 32 lanes on, then a tree over the lanes: the order of a warp.
template <class Value, class Add>
Value over_lanes(int64_t count, const Add& add) {
  std::array<Value, 32> lanes{};
  for (int64_t i = 0; i < count; ++i) lanes[i % 32] = add(lanes[i % 32], i);
  for (size_t distance = 16; distance > 0; distance /= 2)
    for (size_t lane = 0; lane < distance; ++lane) lanes[lane] = combined(lanes[lane], lanes[lane + distance]);
  return lanes[0];
}

TEST(KernelBodies, DrawTheWordsOfPhilox) {
  for (const uint64_t high : {uint64_t{0}, uint64_t{3}, ~uint64_t{0}})
    for (const uint64_t low : {uint64_t{0}, uint64_t{1} << 33, ~uint64_t{0} - 5}) {
      const RandomKey key = random_key(high, Purpose::dropout, low, 1, 2);
      const auto truth = philox(key, high, low);
      const Words found = philox_words(static_cast<uint64_t>(packed(key)), high, low);
      for (size_t i = 0; i < 4; ++i) EXPECT_EQ(found.word[i], truth[i]);
    }
}

TEST(KernelBodies, LogSumOfARow) {
  for (const double scale : {1.0, 60.0, 1e4}) {  // exp of the last overflows a float unless the largest is taken off
    const at::Tensor row = some_numbers({1003}, at::kFloat) * scale;
    const float* x = row.const_data_ptr<float>();
    const LogSum sum = over_lanes<LogSum>(row.numel(), [&](const LogSum& a, int64_t i) { return with(a, x[i]); });
    const at::Tensor exact = row.to(at::kDouble), shares = exact.softmax(0);
    for (const int64_t target : {int64_t{0}, int64_t{500}, int64_t{1002}}) {
      const double truth =
          at::cross_entropy_loss(exact.unsqueeze(0), at::tensor({target}), {}, at::Reduction::Sum).item<double>();
      EXPECT_NEAR(loss_of(sum, x[target]), truth, 1e-6 * scale + 1e-5);  // rounding of numbers of that size
      EXPECT_NEAR(probability(sum, x[target]), shares[target].item<double>(), 1e-6);
    }
  }
}

TEST(KernelBodies, NormOfARowAndItsGradient) {
  for (const double middle : {0.0, 100.0}) {  // a mean far from 0 shows sums of squares that are not taken around it
    const int64_t width = 777;
    const at::Tensor x = some_numbers({1, width}, at::kFloat) + middle, weight = some_numbers({width}, at::kFloat) + 2,
                     bias = weight * 0.5, gradient = (x - middle) * (x - middle) - 0.3;
    const auto wide = [](const at::Tensor& tensor) { return tensor.to(at::kDouble); };
    const auto [result, mean, inverse] = at::native_layer_norm(wide(x), {width}, wide(weight), wide(bias), 1e-5);
    const auto [of_x, of_weight, of_bias] = at::native_layer_norm_backward(
        wide(gradient), wide(x), {width}, mean, inverse, wide(weight), wide(bias), {true, true, true});
    const float *numbers = x.const_data_ptr<float>(), *scales = weight.const_data_ptr<float>(),
                *slopes = gradient.const_data_ptr<float>();
    const Spread spread = over_lanes<Spread>(width, [&](const Spread& a, int64_t i) { return with(a, numbers[i]); });
    const float scale = inverse_deviation(spread, 1e-5f);
    EXPECT_NEAR(spread.mean, mean.item<double>(), 1e-6 * (1 + middle));
    EXPECT_NEAR(scale, inverse.item<double>(), 1e-5 * inverse.item<double>());
    const auto normed = [&](int64_t i) { return (numbers[i] - spread.mean) * scale; };
    const Slopes sums =
        over_lanes<Slopes>(width, [&](const Slopes& a, int64_t i) { return with(a, slopes[i], scales[i], normed(i)); });
    const double largest_gradient = of_x.abs().max().item<double>();
    for (const int64_t i : {int64_t{0}, int64_t{400}, width - 1}) {
      const float found =
          input_gradient(mean_of(sums, static_cast<float>(width)), slopes[i], scales[i], normed(i), scale);
      EXPECT_NEAR(found, of_x[0][i].item<double>(), 2e-5 * largest_gradient);
    }
  }
}

}  // namespace
}  // namespace interlock::tests
