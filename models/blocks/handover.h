#pragma once
// How an autograd function of ours gives away the gradients of parameters, and takes their values. For the .cpp files
// of such functions only.

#include <ATen/ops/empty_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include "models/parameter_access.h"

namespace interlock {

// Gives the gradient to whoever adds them up, or makes a tensor of it where nobody does, and where it goes on: through
// what a weight was made of.
inline at::Tensor hand_over(ParameterAccess* parameters, const at::Tensor& parameter, const GradientTerm& term) {
  if (parameters != nullptr && parameter.is_leaf()) {
    parameters->add_gradient(parameter, term);
    return {};
  }
  at::Tensor gradient = at::empty_like(parameter, parameter.options().requires_grad(false));
  term(gradient, 1.0, true);
  return gradient;
}

inline at::Tensor in_type(ParameterAccess* parameters, const at::Tensor& parameter, at::ScalarType type) {
  return parameters != nullptr ? parameters->values(parameter, type) : parameter.to(type);
}

// A pointer among what a graph saves. Whoever it points to outlives the graph.
inline int64_t as_number(ParameterAccess* parameters) { return reinterpret_cast<int64_t>(parameters); }
inline ParameterAccess* parameters_of(torch::autograd::AutogradContext* context) {
  return reinterpret_cast<ParameterAccess*>(context->saved_data["parameters"].toInt());
}

}  // namespace interlock
