#pragma once
// Layer norm over the last dimension, in the type of x whatever that of the weights is.

#include <ATen/core/Tensor.h>

namespace interlock {

// weight * (x - mean) / sqrt(variance + epsilon) + bias, [..., width] in the type of x; statistics and the gradients of
// weight and bias are in the type of these.
at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double epsilon);

}  // namespace interlock
