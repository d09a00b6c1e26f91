#pragma once
// Layer norm over the last dimension, in the type of x whatever that of the weights is.

#include <ATen/core/Tensor.h>

#include "models/blocks/dropout.h"

namespace interlock {

// weight * (x - mean) / sqrt(variance + epsilon) + bias, [..., width] in the type of x; statistics and the gradients of
// weight and bias are in the type of these.
at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double epsilon);

// What of y is dropped, and with which draws.
struct Dropped {
  double rate;
  uint64_t layer;
  Site site;
  const ForwardContext& context;
};
// The norm of x + y dropped: the end of a post-norm sublayer, in one operation where a device has one.
at::Tensor residual_norm(const at::Tensor& x, const at::Tensor& y, const at::Tensor& weight, const at::Tensor& bias,
                         double epsilon, const Dropped& drop);

}  // namespace interlock
