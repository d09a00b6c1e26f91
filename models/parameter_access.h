#pragma once
// How the operations of a network reach the parameters of whoever trains it: their values in the type of a product, and
// the place where their gradients are added up. Without one (ForwardContext::parameters is null) an operation converts
// values itself and returns gradients through the graph.

#include <ATen/core/Tensor.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/scalar_tensor.h>

#include <functional>
#include <utility>

namespace interlock {

// Adds `factor` times a gradient to `sum`, of the parameter's shape and type; `overwrite`: writes it there, whatever
// `sum` held. What it works on is kept alive until it has run.
using GradientTerm = std::function<void(at::Tensor& sum, double factor, bool overwrite)>;

// sum + factor * gradient, or that product alone, into `sum`, in the type of `sum`.
inline void add_scaled(at::Tensor sum, double factor, bool overwrite, const at::Tensor& gradient) {
  if (!overwrite) {
    sum.add_(gradient, factor);
  } else if (gradient.scalar_type() == sum.scalar_type()) {
    // On the CPU wherever the gradient is: a kernel takes it along, a device would have to be asked to fill one.
    at::mul_out(sum, gradient, at::scalar_tensor(factor, sum.scalar_type()));
  } else {
    sum.copy_(gradient).mul_(factor);  // a product of two types would be rounded to the narrower one
  }
}

// Of a gradient that is there already.
inline GradientTerm term_of(at::Tensor gradient) {
  return [gradient = std::move(gradient)](at::Tensor& sum, double factor, bool overwrite) {
    add_scaled(sum, factor, overwrite, gradient);
  };
}

class ParameterAccess {
 public:
  virtual ~ParameterAccess() = default;
  // The values of `parameter` in `type`: itself, or a copy that stays true until the next update.
  virtual at::Tensor values(const at::Tensor& parameter, at::ScalarType type) = 0;
  // Called while a graph is differentiated, for a parameter whose gradient is asked for. The term runs at once or
  // later, as the pass that is going on says.
  virtual void add_gradient(const at::Tensor& parameter, GradientTerm term) = 0;
};

}  // namespace interlock
