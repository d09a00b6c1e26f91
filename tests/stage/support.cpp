#include "tests/stage/support.h"

#include <ATen/ops/relu.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "models/blocks/functions.h"
#include "runtime/core/config.h"

namespace interlock::tests {
namespace {

// The identity; its walk back adds one to a number.
struct Counted : torch::autograd::Function<Counted> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, int* walks) {
    context->saved_data["walks"] = reinterpret_cast<int64_t>(walks);
    return x.clone();
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    ++*reinterpret_cast<int*>(context->saved_data["walks"].toInt());
    return {gradients[0], at::Tensor()};
  }
};

}  // namespace

MakeOptimizer optimizer_of(const std::string& lines) {
  return [lines] {
    const Config config = Config::from_text("[optimizer]\n" + lines);
    const Section section = config.section("optimizer");
    return Optimizers::instance().create("optimizer", section.text("name", "adamw"), section);
  };
}

std::vector<TrainableGroup::NamedTensor> leaves(at::ScalarType type, const std::vector<std::vector<int64_t>>& shapes) {
  std::vector<TrainableGroup::NamedTensor> tensors;
  for (size_t i = 0; i < shapes.size(); ++i)
    tensors.push_back({"p" + std::to_string(i), some_numbers(shapes[i], type).clone().requires_grad_()});
  return tensors;
}

void give_gradients(TrainableGroup& group, double factor) {
  for (size_t i = 0; i < group.parameters().size(); ++i) {
    const at::Tensor& value = group.parameters()[i].value;
    group.add_gradient(i, term_of(some_numbers(value.sizes().vec(), value.scalar_type())), factor);
  }
}

CountingBody::CountingBody(int64_t segments) : counts_(segments) {
  for (int64_t i = 0; i < segments; ++i) {
    const std::string number = std::to_string(i);
    weights_.push_back(register_parameter("weight" + number, some_numbers({4, 4}, at::kFloat).abs()));
    biases_.push_back(register_parameter("bias" + number, some_numbers({4}, at::kFloat)));
  }
}

at::Tensor CountingBody::forward_segment(int64_t segment, const at::Tensor& input, const ForwardContext& context) {
  Counts& here = counts_[segment];
  ++here.runs;
  here.graphs += c10::GradMode::is_enabled();
  const at::Tensor out = linear(input, weights_[segment], biases_[segment], context.parameters);
  return Counted::apply(at::relu(out), &here.walks);
}

std::vector<at::Tensor> CountingBody::segment_parameters(int64_t segment) const {
  return {weights_.at(segment), biases_.at(segment)};
}

void CountingBody::freeze(int64_t segment) {
  weights_[segment].set_requires_grad(false);
  biases_[segment].set_requires_grad(false);
}

CountingBody::Counts CountingBody::all() const {
  Counts sum;
  for (const Counts& one : counts_) sum = {sum.runs + one.runs, sum.graphs + one.graphs, sum.walks + one.walks};
  return sum;
}

}  // namespace interlock::tests
