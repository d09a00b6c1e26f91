// The factor by which an update's gradients count (clipping) against gradients that were multiplied beforehand.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/optimization/support.h"

namespace interlock {
namespace {

using namespace tests;

// A large epsilon: without one, the adaptive ones would hardly see how long a gradient is.
const std::vector<std::string> kEvery = {
    "name = \"adamw\"\nepsilon = 1e-2", "name = \"adamw\"\nepsilon = 1e-2\nepsilon_placement = \"fairseq\"",
    "name = \"sgd\"", "name = \"sgd\"\nmomentum = 0.9", "name = \"lamb\"\nepsilon = 1e-2"};

// The problem's values after its steps; gradients are multiplied by `before` in double and counted at `factor`.
std::vector<at::Tensor> trained_at(const std::string& lines, double before, double factor, at::ScalarType type) {
  const Problem problem(7);
  std::vector<Parameter> parameters;
  for (const size_t i : kAll) {
    const at::Tensor value = tensor_of(problem.start[i], kShapes[i], type);
    parameters.push_back({"p" + std::to_string(i), value, at::zeros_like(value), decays(i)});
  }
  const auto optimizer = make(lines);
  optimizer->attach(parameters);
  for (size_t step = 0; step < kSteps; ++step) {
    for (const size_t i : kAll) {
      std::vector<double> gradient = problem.gradients[i][step];
      for (double& number : gradient) number *= before;
      parameters[i].gradient.copy_(tensor_of(gradient, kShapes[i], type));
    }
    optimizer->step(UpdateNumbers::of(kRate, factor));
  }
  std::vector<at::Tensor> values;
  for (const Parameter& parameter : parameters) values.push_back(parameter.value);
  return values;
}

// Multiplying and dividing by a power of two rounds nothing.
TEST(ClipFactor, OfAPowerOfTwoIsTheSameToTheBit) {
  for (const std::string& lines : kEvery)
    for (const auto type : {at::kFloat, at::kDouble}) {
      const auto counted = trained_at(lines, 1.0, 0.25, type), multiplied = trained_at(lines, 0.25, 1.0, type);
      for (const size_t i : kAll) EXPECT_TRUE(same_bits(counted[i], multiplied[i])) << lines << ": " << i;
    }
}

// Any other factor is rounded: once as 1 / factor, by which fused kernels divide, and once in the quotient. Six steps
// of a rate of 0.01 move a value by 0.06 at most under the adaptive ones (LAMB by some of its own size), by 0.3 under
// SGD with momentum; of that, a few roundings.
TEST(ClipFactor, IsAMultiplicationOfTheGradients) {
  constexpr double factor = 0.3;
  for (const std::string& lines : kEvery)
    for (const auto type : {at::kFloat, at::kDouble}) {
      const double unit = type == at::kFloat ? 0x1p-24 : 0x1p-53;
      const auto counted = trained_at(lines, 1.0, factor, type), multiplied = trained_at(lines, factor, 1.0, type),
                 ignored = trained_at(lines, 1.0, 1.0, type);
      double of_ignored = 0;
      for (const size_t i : kAll) {
        const auto a = numbers_of(counted[i]), b = numbers_of(multiplied[i]), c = numbers_of(ignored[i]);
        for (size_t k = 0; k < a.size(); ++k) {
          EXPECT_NEAR(a[k], b[k], 30 * unit * std::max(1.0, std::abs(b[k]))) << lines << ": " << i << ", " << k;
          of_ignored = std::max(of_ignored, std::abs(c[k] - b[k]));
        }
      }
      EXPECT_GT(of_ignored, 1e-6) << lines << ": the factor makes no difference, nothing is tested";
    }
}

// Of SGD by its formula, in float64: w - rate * (f g + decay w), step by step.
TEST(ClipFactor, OfSgdIsItsFormula) {
  const Problem problem(7);
  constexpr double factor = 0.3;
  const auto got = trained_at("name = \"sgd\"\nweight_decay = 0.1", 1.0, factor, at::kDouble);
  for (const size_t i : kAll) {
    const auto values = numbers_of(got[i]);
    for (size_t k = 0; k < values.size(); ++k) {
      double value = problem.start[i][k];
      for (size_t step = 0; step < kSteps; ++step)
        value -= kRate * (factor * problem.gradients[i][step][k] + (decays(i) ? kDecay : 0.0) * value);
      EXPECT_NEAR(values[k], value, 2e-15 * std::max(1.0, std::abs(value)));  // six steps of three roundings
    }
  }
}

}  // namespace
}  // namespace interlock
