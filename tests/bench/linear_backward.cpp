// What the two savings of the backward pass are worth, each alone, on the linear layers of one block: weight gradients
// added in place (beside a tensor made of each and added afterwards), and values in bfloat16 that are kept (beside
// converting them for every product). bench_linear_backward [WIDTH] [ROWS] [ROUNDS], one thread.

#include <ATen/Parallel.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <utility>
#include <vector>

#include "models/blocks/functions.h"

namespace interlock {
namespace {

using Seconds = std::chrono::duration<double>;

// The six products of a Transformer block.
std::vector<std::pair<int64_t, int64_t>> shapes_of(int64_t width) {
  return {{width, width}, {width, width}, {width, width}, {width, width}, {4 * width, width}, {width, 4 * width}};
}

class Layers {
 public:
  explicit Layers(int64_t width) {
    for (const auto& [outputs, inputs] : shapes_of(width)) {
      weights.push_back(at::randn({outputs, inputs}).requires_grad_(true));
      gradients.push_back(at::zeros({outputs, inputs}));
      place_[weights.back().unsafeGetTensorImpl()] = weights.size() - 1;
    }
  }

  at::Tensor values(const at::Tensor& parameter, at::ScalarType type) {
    if (parameter.scalar_type() == type) return parameter;
    at::Tensor& copy = copies_[parameter.unsafeGetTensorImpl()];
    if (!copy.defined()) copy = parameter.detach().to(type);
    return copy;
  }
  void add_gradient(const at::Tensor& parameter, const GradientTerm& term) {
    term(gradients[place_.at(parameter.unsafeGetTensorImpl())], 1.0, false);
  }

  std::vector<at::Tensor> weights, gradients;

 private:
  std::map<const void*, size_t> place_;
  std::map<const void*, at::Tensor> copies_;
};

struct Way {
  bool in_place, kept_values;
};

// Gives the layers' values and adds up their gradients in one way or another.
class Access final : public ParameterAccess {
 public:
  Access(Layers& layers, Way way) : layers_(layers), way_(way) {}
  at::Tensor values(const at::Tensor& parameter, at::ScalarType type) override {
    return way_.kept_values ? layers_.values(parameter, type) : parameter.detach().to(type);
  }
  void add_gradient(const at::Tensor& parameter, GradientTerm term) override {
    if (way_.in_place) return layers_.add_gradient(parameter, std::move(term));
    at::Tensor made = at::empty_like(parameter, parameter.options().requires_grad(false));
    term(made, 1.0, true);
    made_.emplace_back(parameter, std::move(made));
  }
  void add_made() {
    for (auto& [parameter, gradient] : std::exchange(made_, {}))
      layers_.add_gradient(parameter, term_of(std::move(gradient)));
  }

 private:
  Layers& layers_;
  Way way_;
  std::vector<std::pair<at::Tensor, at::Tensor>> made_;
};

// Seconds of one microbatch: forward and backward through every layer.
double pass(Layers& layers, const std::map<int64_t, at::Tensor>& inputs, const Way& way) {
  Access access(layers, way);
  const auto begin = std::chrono::steady_clock::now();
  for (const at::Tensor& weight : layers.weights) {
    const at::Tensor& x = inputs.at(weight.size(1));
    const at::Tensor y = linear(x, weight, {}, &access);
    torch::autograd::grad({y}, {x, weight}, {inputs.at(weight.size(0)).detach()}, false, false, true);
  }
  access.add_made();
  return Seconds(std::chrono::steady_clock::now() - begin).count();
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

// Ways in alternation; prints milliseconds of the medians and the ratio of the first to the second.
void compare(const char* what, at::ScalarType type, int64_t width, int64_t rows, int rounds, Way one, Way other) {
  Layers layers(width);
  std::map<int64_t, at::Tensor> inputs;
  for (const int64_t size : {width, 4 * width}) inputs[size] = at::randn({rows, size}).to(type).requires_grad_(true);
  std::vector<double> of_one, of_other;
  for (int round = -2; round < rounds; ++round) {
    const double first = pass(layers, inputs, one), second = pass(layers, inputs, other);
    if (round < 0) continue;  // to warm up
    of_one.push_back(first);
    of_other.push_back(second);
  }
  std::printf("%-62s %8.2f ms %8.2f ms   x %.3f\n", what, 1e3 * median(of_one), 1e3 * median(of_other),
              median(of_one) / median(of_other));
}

}  // namespace
}  // namespace interlock

int main(int count, char** words) {
  using namespace interlock;
  const int64_t width = count > 1 ? std::atol(words[1]) : 256, rows = count > 2 ? std::atol(words[2]) : 512;
  const int rounds = count > 3 ? std::atoi(words[3]) : 200;
  at::set_num_threads(1);
  std::printf("one block of width %ld, %ld rows, %d rounds in alternation\n", static_cast<long>(width),
              static_cast<long>(rows), rounds);
  compare("float32: gradients added afterwards, and in place", at::kFloat, width, rows, rounds, {false, true},
          {true, true});
  compare("bfloat16: gradients added afterwards, and in place", at::kBFloat16, width, rows, rounds, {false, true},
          {true, true});
  compare("bfloat16: values converted for every product, and kept", at::kBFloat16, width, rows, rounds, {true, false},
          {true, true});
}
