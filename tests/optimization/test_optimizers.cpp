// Optimizers against plain loops over doubles that share no code with them.
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <random>

#include "runtime/core/error.h"
#include "runtime/optimization/optimizer.h"

namespace interlock {
namespace {

constexpr double kRate = 0.01, kDecay = 0.1;
constexpr int kSteps = 6;
const std::vector<std::vector<int64_t>> kShapes = {{5, 7}, {33}, {}, {2, 3, 4}, {0, 4}, {3, 20011}, {1}};

std::unique_ptr<Optimizer> make(const std::string& lines) {
  const auto config = Config::from_text("[optimizer]\n" + lines);
  const auto section = config.section("optimizer");
  auto optimizer = Optimizers::instance().create("optimizer", section.text("name", "adamw"), section);
  config.reject_unknown();
  return optimizer;
}

at::Tensor tensor_of(const std::vector<double>& numbers, const std::vector<int64_t>& shape, at::ScalarType type) {
  at::Tensor tensor = at::empty(shape, at::TensorOptions().dtype(at::kDouble));
  if (!numbers.empty()) std::memcpy(tensor.data_ptr<double>(), numbers.data(), numbers.size() * sizeof(double));
  return tensor.to(type);
}

std::vector<double> numbers_of(const at::Tensor& tensor) {
  const at::Tensor wide = tensor.detach().to(at::kDouble).contiguous();
  return {wide.data_ptr<double>(), wide.data_ptr<double>() + wide.numel()};
}

// Start values and the gradients of every step, as doubles that a float holds exactly.
struct Problem {
  explicit Problem(uint32_t seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    const auto draw = [&](size_t count) {
      std::vector<double> numbers(count);
      for (double& number : numbers) number = normal(random);
      return numbers;
    };
    for (const auto& shape : kShapes) {
      size_t count = 1;
      for (const int64_t extent : shape) count *= static_cast<size_t>(extent);
      start.push_back(draw(count));
      std::vector<std::vector<double>> of_steps;
      for (int step = 0; step < kSteps; ++step) of_steps.push_back(draw(count));
      if (count > 2) of_steps[0][2] = of_steps[1][2] = 0;  // an element that hears nothing at first
      gradients.push_back(of_steps);
    }
  }
  std::vector<std::vector<double>> start;
  std::vector<std::vector<std::vector<double>>> gradients;
};

// Trains the tensors `which` of the problem with one optimizer and returns their values.
std::vector<at::Tensor> trained(const Problem& problem, Optimizer& optimizer, const std::vector<size_t>& which,
                                at::ScalarType type) {
  std::vector<Parameter> parameters;
  for (const size_t i : which) {
    at::Tensor value = tensor_of(problem.start[i], kShapes[i], type);
    value.set_requires_grad(true);  // as the leaves of a module are
    parameters.push_back({"p" + std::to_string(i), value, at::zeros_like(value.detach())});
  }
  optimizer.attach(parameters);
  for (int step = 0; step < kSteps; ++step) {
    for (size_t k = 0; k < which.size(); ++k) {
      const auto& gradient = problem.gradients[which[k]][static_cast<size_t>(step)];
      parameters[k].gradient.copy_(tensor_of(gradient, kShapes[which[k]], type));
    }
    optimizer.step(kRate * (step + 1));  // a rate that changes
    for (size_t k = 0; k < which.size(); ++k) {
      const auto& gradient = problem.gradients[which[k]][static_cast<size_t>(step)];
      EXPECT_EQ(numbers_of(parameters[k].gradient), gradient) << "a step changed a gradient";
    }
  }
  std::vector<at::Tensor> values;
  for (const Parameter& parameter : parameters) values.push_back(parameter.value);
  return values;
}

const std::vector<size_t> kAll = {0, 1, 2, 3, 4, 5, 6};

using Truth = std::function<double(double value, double decay, const std::vector<double>& gradients)>;

double plain_adamw(double value, double decay, const std::vector<double>& gradients) {
  const double beta1 = 0.8, beta2 = 0.95, epsilon = 1e-6;
  double mean = 0, square = 0;
  for (int t = 1; t <= kSteps; ++t) {
    const double gradient = gradients[static_cast<size_t>(t - 1)], rate = kRate * t;
    value -= rate * decay * value;
    mean = beta1 * mean + (1 - beta1) * gradient;
    square = beta2 * square + (1 - beta2) * gradient * gradient;
    const double mean_hat = mean / (1 - std::pow(beta1, t)), square_hat = square / (1 - std::pow(beta2, t));
    value -= rate * mean_hat / (std::sqrt(square_hat) + epsilon);
  }
  return value;
}

Truth plain_sgd(double momentum) {
  return [momentum](double value, double decay, const std::vector<double>& gradients) {
    double velocity = 0;
    for (int t = 1; t <= kSteps; ++t) {
      velocity = momentum * velocity + gradients[static_cast<size_t>(t - 1)] + decay * value;
      value -= kRate * t * velocity;
    }
    return value;
  };
}

void expect_truth(const std::string& lines, const Truth& truth) {
  const Problem problem(1);
  for (const auto type : {at::kDouble, at::kFloat}) {
    // About ten roundings a step over six steps of numbers near 1: 60 x 1.1e-16 (6.0e-8 in float), with room for a
    // factor 3.
    const double tolerance = type == at::kDouble ? 2e-14 : 1e-5;
    const auto optimizer = make(lines);
    const auto values = trained(problem, *optimizer, kAll, type);
    for (const size_t i : kAll) {
      const auto got = numbers_of(values[i]);
      const double decay = kShapes[i].size() < 2 ? 0.0 : kDecay;
      for (size_t k = 0; k < got.size(); ++k) {
        std::vector<double> gradients;
        for (const auto& of_step : problem.gradients[i]) gradients.push_back(of_step[k]);
        const double expected = truth(problem.start[i][k], decay, gradients);
        EXPECT_NEAR(got[k], expected, tolerance * std::max(1.0, std::abs(expected))) << lines << ": " << i << ", " << k;
      }
    }
  }
}

TEST(Optimizer, AdamWIsThePlainLoop) {
  expect_truth("name = \"adamw\"\nbeta1 = 0.8\nbeta2 = 0.95\nepsilon = 1e-6\nweight_decay = 0.1", plain_adamw);
}

TEST(Optimizer, SgdIsThePlainLoop) {
  expect_truth("name = \"sgd\"\nweight_decay = 0.1", plain_sgd(0.0));
  expect_truth("name = \"sgd\"\nmomentum = 0.9\nweight_decay = 0.1", plain_sgd(0.9));
}

bool same_bits(const at::Tensor& one, const at::Tensor& other) {
  const auto bytes = static_cast<size_t>(one.numel()) * one.element_size();
  return one.sizes() == other.sizes() && (bytes == 0 || std::memcmp(one.data_ptr(), other.data_ptr(), bytes) == 0);
}

// Where a stage ends and how many threads it has decides which tensors share a call: no bit may hear of it.
TEST(Optimizer, BitsDoNotDependOnTheCut) {
  const Problem problem(2);
  for (const std::string lines : {"name = \"adamw\"", "name = \"sgd\"\nmomentum = 0.9"}) {
    for (const auto type : {at::kFloat, at::kDouble}) {
      at::set_num_threads(1);
      const auto together = trained(problem, *make(lines), kAll, type);
      at::set_num_threads(2);
      for (const size_t i : kAll) {
        const auto alone = trained(problem, *make(lines), {i}, type);
        EXPECT_TRUE(same_bits(alone[0], together[i])) << lines << " tensor " << i;
      }
      at::set_num_threads(1);
    }
  }
}

TEST(Optimizer, StageWithoutParameters) {
  for (const std::string name : {"adamw", "sgd"}) {
    const auto optimizer = make("name = \"" + name + "\"");
    optimizer->attach({});
    EXPECT_NO_THROW(optimizer->step(0.1));
  }
}

TEST(Optimizer, StateRatio) {
  EXPECT_EQ(make("")->state_ratio(), 2.0);
  EXPECT_EQ(make("name = \"sgd\"")->state_ratio(), 0.0);
  EXPECT_EQ(make("name = \"sgd\"\nmomentum = 0.5")->state_ratio(), 1.0);
}

TEST(Optimizer, Refusals) {
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {"name = \"adam\"", "adamw"},
      {"name = \"sgd\"\nbeta1 = 0.9", "beta1"},
      {"name = \"adamw\"\nmomentum = 0.9", "momentum"},
      {"beta1 = 1.0", "beta1"},
      {"beta2 = 1", "beta2"},
      {"epsilon = 0.0", "epsilon"},
      {"weight_decay = -0.1", "weight_decay"},
      {"name = \"sgd\"\nmomentum = 2.0", "momentum"},
  };
  for (const auto& [lines, word] : wrong) {
    try {
      make(lines);
      ADD_FAILURE() << "accepted " << lines;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::config);
      EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace interlock
