#pragma once
// Which parameters decay: matrices and tables do, biases and norms (fewer than 2 dimensions) do not. Private to this
// room.

#include <ATen/core/Tensor.h>

#include <vector>

#include "runtime/optimization/optimizer.h"

namespace interlock {

// Parameters of one weight decay, as the lists that LibTorch's fused kernels take.
struct ParameterGroup {
  double weight_decay = 0;
  std::vector<at::Tensor> values, gradients;
};

// Groups that hold something, in the order decaying, not decaying; none for no parameters.
std::vector<ParameterGroup> groups_by_decay(const std::vector<Parameter>& parameters, double weight_decay);

// Zeros of the shape of each value: the start of a moment.
std::vector<at::Tensor> zeros_like_each(const std::vector<at::Tensor>& values);

}  // namespace interlock
