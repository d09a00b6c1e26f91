#pragma once
// What LibTorch's fused kernels take: parameters of one weight decay and rate as lists, and the factor of their
// gradients. Private to this room.

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

#include "runtime/optimization/optimizer.h"

namespace interlock {

struct ParameterGroup {
  double weight_decay = 0;
  double rate_factor = 1;
  std::vector<at::Tensor> values, gradients;
  std::vector<size_t> places;  // of each in the list attached
};

// One group for every weight decay and rate factor among the parameters, in the order in which they come; none for no
// parameters.
std::vector<ParameterGroup> groups_by_decay(const std::vector<Parameter>& parameters, double weight_decay);

// The learning rate of a group.
at::Tensor rate_of(const ParameterGroup& group, const at::Tensor& learning_rate);

// What the kernels divide the gradients of the group by ("grad_scale"); nothing where the factor is 1. They take it in
// float: gradients in float64 are multiplied here instead.
std::optional<at::Tensor> gradient_divisor(ParameterGroup& group, const at::Tensor& factor);

}  // namespace interlock
