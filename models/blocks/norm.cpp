// Owns layer norm: LibTorch's own on the CPU, which takes x in bfloat16 and weights in float; elsewhere LibTorch has
// none of that kind, and ours takes its place.
#include "models/blocks/norm.h"

#include <ATen/ops/layer_norm.h>
#include <ATen/ops/native_layer_norm.h>
#include <ATen/ops/native_layer_norm_backward.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <tuple>

#include "models/blocks/operations.h"

namespace interlock {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Bodies for any device, of LibTorch's operations: right, and slower than a device's own.
std::tuple<at::Tensor, at::Tensor, at::Tensor> norm_anywhere(const at::Tensor& x, const at::Tensor& weight,
                                                             const at::Tensor& bias, double epsilon) {
  auto [result, mean, inverse] =
      at::native_layer_norm(x.to(weight.scalar_type()), {weight.size(0)}, weight, bias, epsilon);
  return {result.to(x.scalar_type()), std::move(mean), std::move(inverse)};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> norm_backward_anywhere(const at::Tensor& gradient, const at::Tensor& x,
                                                                      const at::Tensor& mean, const at::Tensor& inverse,
                                                                      const at::Tensor& weight) {
  const at::ScalarType type = weight.scalar_type();
  auto [of_x, of_weight, of_bias] =
      at::native_layer_norm_backward(gradient.to(type), x.to(type), {weight.size(0)}, mean, inverse, weight,
                                     at::zeros_like(weight), {true, true, true});
  return {of_x.to(x.scalar_type()), std::move(of_weight), std::move(of_bias)};
}

TORCH_LIBRARY_IMPL(interlock, CompositeExplicitAutograd, library) {
  library.impl("norm", TORCH_FN(norm_anywhere));
  library.impl("norm_backward", TORCH_FN(norm_backward_anywhere));
}

struct NormFunction : torch::autograd::Function<NormFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& given, const at::Tensor& weight,
                            const at::Tensor& bias, double epsilon) {
    const at::Tensor x = given.contiguous();
    operations::Norm norm = operations::norm(x, weight, bias, epsilon);
    context->save_for_backward({x, weight, norm.mean, norm.inverse_deviation});
    return norm.result;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const operations::Norm forward{{}, saved[2], saved[3]};
    auto [input, weight, bias] = operations::norm_backward(gradients[0].contiguous(), saved[0], forward, saved[1]);
    return {std::move(input), std::move(weight), std::move(bias), at::Tensor()};
  }
};

}  // namespace

at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double epsilon) {
  if (x.is_cpu()) return at::layer_norm(x, {weight.size(0)}, weight, bias, epsilon);
  return NormFunction::apply(x, weight, bias, epsilon);
}

}  // namespace interlock
