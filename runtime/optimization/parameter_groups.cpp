// Owns the split of parameters by weight decay and rate.
#include "runtime/optimization/parameter_groups.h"

#include <ATen/ops/reciprocal.h>
#include <ATen/ops/scalar_tensor.h>
#include <c10/util/Exception.h>

#include <algorithm>

namespace interlock {

UpdateNumbers UpdateNumbers::of(double learning_rate, double gradient_factor) {
  const auto number = [](double value) { return at::scalar_tensor(value, at::TensorOptions().dtype(at::kDouble)); };
  return {number(learning_rate), number(gradient_factor)};
}

std::vector<ParameterGroup> groups_by_decay(const std::vector<Parameter>& parameters, double weight_decay) {
  std::vector<ParameterGroup> groups;
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Parameter& parameter = parameters[i];
    // The kernels walk memory: a view with other strides would pair wrong elements without a word.
    TORCH_INTERNAL_ASSERT(parameter.value.is_contiguous() && parameter.gradient.is_contiguous(), parameter.name);
    TORCH_INTERNAL_ASSERT(parameter.value.sizes() == parameter.gradient.sizes(), parameter.name);
    const double decay = parameter.decays ? weight_decay * parameter.decay_factor : 0.0;
    auto group = std::ranges::find_if(groups, [&](const ParameterGroup& one) {
      return one.weight_decay == decay && one.rate_factor == parameter.rate_factor;
    });
    if (group == groups.end()) group = groups.insert(group, ParameterGroup{decay, parameter.rate_factor, {}, {}, {}});
    group->values.push_back(parameter.value);
    group->gradients.push_back(parameter.gradient);
    group->places.push_back(i);
  }
  return groups;
}

at::Tensor rate_of(const ParameterGroup& group, const at::Tensor& learning_rate) {
  return group.rate_factor == 1.0 ? learning_rate : learning_rate.mul(group.rate_factor);
}

std::optional<at::Tensor> gradient_divisor(ParameterGroup& group, const at::Tensor& factor) {
  // On a device a look at the factor would wait for it; here it is free.
  if (factor.is_cpu() && factor.item<double>() == 1.0) return std::nullopt;
  if (group.gradients.front().scalar_type() != at::kDouble) return factor.reciprocal().to(at::kFloat);
  for (at::Tensor& gradient : group.gradients) gradient.mul_(factor);
  return std::nullopt;
}

}  // namespace interlock
