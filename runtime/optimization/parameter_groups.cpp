// Owns the split into decaying and other parameters.
#include "runtime/optimization/parameter_groups.h"

#include <c10/util/Exception.h>

namespace interlock {

std::vector<ParameterGroup> groups_by_decay(const std::vector<Parameter>& parameters, double weight_decay) {
  ParameterGroup decaying{weight_decay, {}, {}, {}}, others;
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Parameter& parameter = parameters[i];
    // The kernels walk memory: a view with other strides would pair wrong elements without a word.
    TORCH_INTERNAL_ASSERT(parameter.value.is_contiguous() && parameter.gradient.is_contiguous(), parameter.name);
    TORCH_INTERNAL_ASSERT(parameter.value.sizes() == parameter.gradient.sizes(), parameter.name);
    ParameterGroup& group = parameter.decays ? decaying : others;
    group.values.push_back(parameter.value);
    group.gradients.push_back(parameter.gradient);
    group.places.push_back(i);
  }
  std::vector<ParameterGroup> groups;
  if (!decaying.values.empty()) groups.push_back(std::move(decaying));
  if (!others.values.empty()) groups.push_back(std::move(others));
  return groups;
}

}  // namespace interlock
