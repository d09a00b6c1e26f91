#pragma once
// Parameters of one weight decay, as the lists that LibTorch's fused kernels take. Private to this room.

#include <ATen/core/Tensor.h>

#include <vector>

#include "runtime/optimization/optimizer.h"

namespace interlock {

struct ParameterGroup {
  double weight_decay = 0;
  std::vector<at::Tensor> values, gradients;
  std::vector<size_t> places;  // of each in the list attached
};

// Groups that hold something, in the order decaying, not decaying; none for no parameters.
std::vector<ParameterGroup> groups_by_decay(const std::vector<Parameter>& parameters, double weight_decay);

}  // namespace interlock
