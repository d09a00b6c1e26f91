// Owns layer norm: LibTorch's own on the CPU, which takes x in bfloat16 and weights in float; elsewhere LibTorch has
// none of that kind, and ours takes its place.
#include "models/blocks/norm.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/native_layer_norm.h>
#include <ATen/ops/native_layer_norm_backward.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <tuple>

#include "models/blocks/dropout.h"
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

bool none_takes(const at::Tensor&) { return false; }
TORCH_LIBRARY_IMPL(interlock, CompositeExplicitAutograd, library) {
  library.impl("residual_norm_takes", TORCH_FN(none_takes));
}

struct ResidualNormFunction : torch::autograd::Function<ResidualNormFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& y,
                            const at::Tensor& weight, const at::Tensor& bias, double epsilon, double rate,
                            RandomKey key, const at::Tensor& samples) {
    operations::ResidualNorm made = operations::residual_norm(x, y, weight, bias, epsilon, rate, key, samples);
    context->save_for_backward({made.sum, made.mean, made.inverse_deviation, weight, samples});
    context->saved_data["rate"] = rate;
    context->saved_data["key"] = packed(key);
    return made.result;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const operations::ResidualNorm forward{{}, saved[0], saved[1], saved[2]};
    auto [x, y, weight, bias] =
        operations::residual_norm_backward(gradients[0], forward, saved[3], context->saved_data["rate"].toDouble(),
                                           unpacked(context->saved_data["key"].toInt()), saved[4]);
    return {std::move(x), std::move(y), std::move(weight), std::move(bias), {}, {}, {}, {}};
  }
};

}  // namespace

at::Tensor residual_norm(const at::Tensor& x, const at::Tensor& y, const at::Tensor& weight, const at::Tensor& bias,
                         double epsilon, const Dropped& drop) {
  if (!x.is_cpu() && operations::residual_norm_takes(x)) {
    const bool drops = drop.rate > 0 && drop.context.training;
    const RandomKey key = drops ? dropout_key(drop.layer, drop.site, drop.context) : RandomKey{};
    return ResidualNormFunction::apply(x, y, weight, bias, epsilon, drops ? drop.rate : 0.0, key,
                                       sample_numbers(*drop.context.batch, x.size(0)));
  }
  return layer_norm(x + keyed_dropout(y, drop.rate, drop.layer, drop.site, drop.context), weight, bias, epsilon);
}

at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double epsilon) {
  if (x.is_cpu()) return at::layer_norm(x, {weight.size(0)}, weight, bias, epsilon);
  return NormFunction::apply(x, weight, bias, epsilon);
}

}  // namespace interlock
