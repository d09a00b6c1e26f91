// Owns the convolution and its backward: the input's gradient alone, and the weight's where and when it is added up.
#include "models/blocks/convolution.h"

#include <ATen/ops/convolution.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/empty.h>

#include "models/blocks/handover.h"

namespace interlock {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Geometry {
  int64_t stride, padding;
};

// One of the gradients of input, weight and bias.
at::Tensor one_gradient(const at::Tensor& gradient, const at::Tensor& x, const at::Tensor& weight, Geometry geometry,
                        size_t which) {
  const std::vector<int64_t> stride(2, geometry.stride), padding(2, geometry.padding), dilation(2, 1), none(2, 0);
  const auto biases = std::vector<int64_t>{weight.size(0)};
  const auto all = at::convolution_backward(gradient, x, weight, at::OptionalIntArrayRef(biases), stride, padding,
                                            dilation, false, none, 1, {which == 0, which == 1, which == 2});
  return which == 0 ? std::get<0>(all) : which == 1 ? std::get<1>(all) : std::get<2>(all);
}

struct ConvolutionFunction : torch::autograd::Function<ConvolutionFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias, int64_t stride, int64_t padding,
                            ParameterAccess* parameters) {
    const at::Tensor narrow = in_type(parameters, weight, x.scalar_type());
    context->save_for_backward({x, weight, bias.value_or(at::Tensor()), narrow});
    context->saved_data["stride"] = stride;
    context->saved_data["padding"] = padding;
    context->saved_data["parameters"] = as_number(parameters);
    const auto added = bias ? std::optional(in_type(parameters, *bias, x.scalar_type())) : std::nullopt;
    return at::convolution(x, narrow, added, {stride, stride}, {padding, padding}, {1, 1}, false, {0, 0}, 1);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &bias = saved[2], &narrow = saved[3];
    const at::Tensor gradient = gradients[0].contiguous(x.suggest_memory_format());
    const Geometry geometry{context->saved_data["stride"].toInt(), context->saved_data["padding"].toInt()};
    ParameterAccess* parameters = parameters_of(context);
    variable_list result(6);
    if (context->needs_input_grad(0)) result[0] = one_gradient(gradient, x, narrow, geometry, 0);
    if (context->needs_input_grad(1))
      result[1] = hand_over(parameters, weight, [=](at::Tensor& sum, double factor, bool overwrite) {
        add_scaled(sum, factor, overwrite, one_gradient(gradient, x, narrow, geometry, 1));
      });
    if (bias.defined() && context->needs_input_grad(2))
      result[2] = hand_over(parameters, bias, [gradient](at::Tensor& sum, double factor, bool overwrite) {
        add_scaled(sum, factor, overwrite, gradient.sum({0, 2, 3}));
      });
    return result;
  }
};

}  // namespace

Convolution::Convolution(const ConvolutionShape& shape, at::ScalarType type) : shape_(shape) {
  weight = register_parameter("weight", at::empty({shape.outputs, shape.inputs, shape.kernel, shape.kernel}, type));
  if (shape.with_bias) bias = register_parameter("bias", at::empty({shape.outputs}, type));
}

at::Tensor Convolution::forward(const at::Tensor& x, const ForwardContext& context) const {
  return ConvolutionFunction::apply(x, weight, bias.defined() ? std::optional(bias) : std::nullopt, shape_.stride,
                                    shape_.padding, context.parameters);
}

}  // namespace interlock
