// Owns the split into decaying and other parameters.
#include "runtime/optimization/parameter_groups.h"

#include <ATen/ops/zeros_like.h>
#include <c10/util/Exception.h>

namespace interlock {

std::vector<ParameterGroup> groups_by_decay(const std::vector<Parameter>& parameters, double weight_decay) {
  ParameterGroup decaying{weight_decay, {}, {}}, others;
  for (const Parameter& parameter : parameters) {
    // The fused kernels walk memory: a view with other strides would pair wrong elements without a word.
    TORCH_INTERNAL_ASSERT(parameter.value.is_contiguous() && parameter.gradient.is_contiguous(), parameter.name);
    TORCH_INTERNAL_ASSERT(parameter.value.sizes() == parameter.gradient.sizes(), parameter.name);
    ParameterGroup& group = parameter.value.dim() < 2 ? others : decaying;
    group.values.push_back(parameter.value);
    group.gradients.push_back(parameter.gradient);
  }
  std::vector<ParameterGroup> groups;
  if (!decaying.values.empty()) groups.push_back(std::move(decaying));
  if (!others.values.empty()) groups.push_back(std::move(others));
  return groups;
}

std::vector<at::Tensor> zeros_like_each(const std::vector<at::Tensor>& values) {
  std::vector<at::Tensor> zeros;
  zeros.reserve(values.size());
  for (const at::Tensor& value : values) zeros.push_back(at::zeros_like(value.detach()));
  return zeros;
}

}  // namespace interlock
