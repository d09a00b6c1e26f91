#pragma once
// What the tests of optimizers share: a problem of odd shapes, and an optimizer's way through it.

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "runtime/core/error.h"
#include "runtime/optimization/optimizer.h"

namespace interlock::tests {

// Threads that wait for each other cost seconds on a busy machine; the one test that wants two asks for them.
inline const bool on_one_thread = (at::set_num_threads(1), true);

constexpr double kRate = 0.01, kDecay = 0.1;
constexpr int kSteps = 6;
inline const std::vector<std::vector<int64_t>> kShapes = {{5, 7}, {33}, {}, {2, 3, 4}, {0, 4}, {3, 20011}, {1}};

inline std::unique_ptr<Optimizer> make(const std::string& lines) {
  const auto config = Config::from_text("[optimizer]\n" + lines);
  const auto section = config.section("optimizer");
  auto optimizer = Optimizers::instance().create("optimizer", section.text("name", "adamw"), section);
  config.reject_unknown();
  return optimizer;
}

inline at::Tensor tensor_of(const std::vector<double>& numbers, const std::vector<int64_t>& shape,
                            at::ScalarType type) {
  at::Tensor tensor = at::empty(shape, at::TensorOptions().dtype(at::kDouble));
  if (!numbers.empty()) std::memcpy(tensor.data_ptr<double>(), numbers.data(), numbers.size() * sizeof(double));
  return tensor.to(type);
}

inline std::vector<double> numbers_of(const at::Tensor& tensor) {
  const at::Tensor wide = tensor.detach().to(at::kDouble).contiguous();
  return {wide.data_ptr<double>(), wide.data_ptr<double>() + wide.numel()};
}

// Whether tensor i of a problem decays: those with two dimensions or more, as the engine says of real ones.
inline bool decays(size_t i) { return kShapes[i].size() >= 2; }

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
inline std::vector<at::Tensor> trained(const Problem& problem, Optimizer& optimizer, const std::vector<size_t>& which,
                                       at::ScalarType type) {
  std::vector<Parameter> parameters;
  for (const size_t i : which) {
    at::Tensor value = tensor_of(problem.start[i], kShapes[i], type);
    value.set_requires_grad(true);  // as the leaves of a module are
    parameters.push_back({"p" + std::to_string(i), value, at::zeros_like(value.detach()), decays(i)});
  }
  optimizer.attach(parameters);
  for (int step = 0; step < kSteps; ++step) {
    for (size_t k = 0; k < which.size(); ++k) {
      const auto& gradient = problem.gradients[which[k]][static_cast<size_t>(step)];
      parameters[k].gradient.copy_(tensor_of(gradient, kShapes[which[k]], type));
    }
    optimizer.step(UpdateNumbers::of(kRate * (step + 1)));  // a rate that changes
    for (size_t k = 0; k < which.size(); ++k) {
      const auto& gradient = problem.gradients[which[k]][static_cast<size_t>(step)];
      EXPECT_EQ(numbers_of(parameters[k].gradient), gradient) << "a step changed a gradient";
    }
  }
  std::vector<at::Tensor> values;
  for (const Parameter& parameter : parameters) values.push_back(parameter.value);
  return values;
}

inline const std::vector<size_t> kAll = {0, 1, 2, 3, 4, 5, 6};

inline bool same_bits(const at::Tensor& one, const at::Tensor& other) {
  const auto bytes = static_cast<size_t>(one.numel()) * one.element_size();
  return one.sizes() == other.sizes() && (bytes == 0 || std::memcmp(one.data_ptr(), other.data_ptr(), bytes) == 0);
}

}  // namespace interlock::tests
