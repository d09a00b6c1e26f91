// LAMB against a plain loop over doubles, and the properties that its definition promises.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/optimization/support.h"

namespace interlock {
namespace {

using namespace tests;

struct Betas {
  double beta1 = 0.8, beta2 = 0.95, epsilon = 1e-3;
};

double norm_of(const std::vector<double>& numbers) {
  double sum = 0;
  for (const double number : numbers) sum += number * number;
  return std::sqrt(sum);
}

// A whole tensor through all steps. `clip` bounds the norm of the values in the ratio; 0 is no bound.
std::vector<double> plain_lamb(std::vector<double> values, bool decayed, double decay, double clip,
                               const std::vector<std::vector<double>>& gradients) {
  const Betas b;
  std::vector<double> mean(values.size()), square(values.size()), direction(values.size());
  for (int t = 1; t <= kSteps; ++t) {
    for (size_t i = 0; i < values.size(); ++i) {
      const double gradient = gradients[static_cast<size_t>(t - 1)][i];
      mean[i] = b.beta1 * mean[i] + (1 - b.beta1) * gradient;
      square[i] = b.beta2 * square[i] + (1 - b.beta2) * gradient * gradient;
      const double mean_hat = mean[i] / (1 - std::pow(b.beta1, t)), hat = square[i] / (1 - std::pow(b.beta2, t));
      direction[i] = mean_hat / (std::sqrt(hat) + b.epsilon) + (decayed ? decay * values[i] : 0.0);
    }
    double size = norm_of(values), ratio = 1;
    if (clip > 0 && size > clip) size = clip;
    if (decayed && size > 0 && norm_of(direction) > 0) ratio = size / norm_of(direction);
    for (size_t i = 0; i < values.size(); ++i) values[i] -= kRate * t * ratio * direction[i];
  }
  return values;
}

TEST(Lamb, IsThePlainLoop) {
  const std::string lines = "name = \"lamb\"\nbeta1 = 0.8\nbeta2 = 0.95\nepsilon = 1e-3\nweight_decay = 0.1\n";
  const Problem problem(11);
  for (const double clip : {0.0, 3.0}) {
    for (const auto type : {at::kDouble, at::kFloat}) {
      // As for AdamW: some ten roundings a step over six steps; values grow to 4, and the norm adds none of note.
      const double tolerance = type == at::kDouble ? 4e-14 : 2e-5;
      const auto values = trained(problem, *make(lines + "trust_clip = " + std::to_string(clip)), kAll, type);
      for (const size_t i : kAll) {
        const auto expected = plain_lamb(problem.start[i], decays(i), kDecay, clip, problem.gradients[i]);
        const auto got = numbers_of(values[i]);
        ASSERT_EQ(got.size(), expected.size());
        for (size_t k = 0; k < got.size(); ++k)
          EXPECT_NEAR(got[k], expected[k], tolerance * std::max(1.0, std::abs(expected[k]))) << i << ", " << k;
      }
    }
  }
}

// The values after one step on gradients of this scale.
std::vector<double> after_one_step(const std::string& lines, double scale, bool decayed, at::Tensor value) {
  const at::Tensor gradient = tensor_of(Problem(12).gradients[0][2], kShapes[0], at::kDouble).mul_(scale);
  const auto optimizer = make(lines);
  optimizer->attach({{"w", value, gradient, decayed}});
  optimizer->step(UpdateNumbers::of(kRate));
  return numbers_of(value);
}

at::Tensor some_values() { return tensor_of(Problem(12).start[0], kShapes[0], at::kDouble); }

TEST(Lamb, AStepIsAsLongAsTheRateSaysWhateverTheGradient) {
  const auto start = numbers_of(some_values());
  for (const double scale : {1e-6, 1.0, 1e6}) {
    auto moved = after_one_step("name = \"lamb\"", scale, true, some_values());
    for (size_t i = 0; i < moved.size(); ++i) moved[i] -= start[i];
    // One rounding per element, so far below 1e-12.
    EXPECT_NEAR(norm_of(moved), kRate * norm_of(start), 1e-12 * norm_of(start));
  }
}

TEST(Lamb, TheScaleOfTheLossDoesNotMatter) {
  const std::string lines = "name = \"lamb\"\nweight_decay = 0.0\nepsilon = 1e-20";
  const auto once = after_one_step(lines, 1, true, some_values());
  const auto thousandfold = after_one_step(lines, 1000, true, some_values());
  for (size_t i = 0; i < once.size(); ++i) EXPECT_NEAR(once[i], thousandfold[i], 1e-14);
}

TEST(Lamb, WhatDoesNotDecayIsAdamW) {
  const std::string numbers = "beta1 = 0.8\nbeta2 = 0.95\nepsilon = 1e-3\nweight_decay = 0.5";
  const auto lamb = after_one_step("name = \"lamb\"\n" + numbers, 1, false, some_values());
  const auto adamw = after_one_step("name = \"adamw\"\n" + numbers, 1, false, some_values());
  const auto adapted = after_one_step("name = \"lamb\"\n" + numbers, 1, true, some_values());
  double apart = 0;
  for (size_t i = 0; i < lamb.size(); ++i) {
    EXPECT_NEAR(lamb[i], adamw[i], 1e-15);
    apart = std::max(apart, std::abs(lamb[i] - adapted[i]));
  }
  EXPECT_GT(apart, 1e-3);
}

TEST(Lamb, ATensorOfZerosMovesByThePlainDirection) {
  const auto moved = after_one_step("name = \"lamb\"\nepsilon = 1e-20", 1, true, some_values().zero_());
  for (const double value : moved) EXPECT_NEAR(std::abs(value), kRate, 1e-12);  // first step: the sign of the gradient
  // And one that hears nothing and is not decayed stays where it is.
  const auto still = after_one_step("name = \"lamb\"\nweight_decay = 0.0", 0, true, some_values());
  EXPECT_EQ(still, numbers_of(some_values()));
}

}  // namespace
}  // namespace interlock
