#pragma once
// Operations with a backward of our own, because the library's composition of the same mathematics is slower or keeps
// more. They are differentiable once; a gradient that nobody asks for is not computed (input-only and weight-only
// passes). With `parameters` the gradients of parameters are given to it instead of being returned.

#include <ATen/core/Tensor.h>

#include "models/parameter_access.h"

namespace interlock {

// x W^T + bias over the last dimension of x, in the type of x; `bias` may be undefined. The gradients of weight and
// bias are of their own type.
at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, ParameterAccess* parameters);

// Rows of `table` [rows, width] by `indices` (int64, any shape): [..., width]. Row `padding` never gets a gradient.
at::Tensor embedding(const at::Tensor& table, const at::Tensor& indices, int64_t padding, ParameterAccess* parameters);

// The sum over rows of -log softmax(logits[row])[targets[row]]; rows behind the last target have no loss and a gradient
// of 0. Uses `logits` as its working memory: the gradient is written over it, so that one [rows, classes] buffer is
// alive where log_softmax and nll_loss keep three. Of bfloat16 logits the sum is float.
at::Tensor cross_entropy_sum(at::Tensor logits, const at::Tensor& targets);

}  // namespace interlock
