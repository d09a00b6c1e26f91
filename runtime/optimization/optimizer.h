#pragma once
// Updates named parameters from their gradients. One optimizer per group of parameters that learn together; nothing in
// it knows of stages.

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "runtime/core/config.h"
#include "runtime/core/registry.h"

namespace interlock {

struct Parameter {
  std::string name;     // global
  at::Tensor value;     // a leaf of the module (or a contiguous part of it), updated in place
  at::Tensor gradient;  // same shape and type; whoever trains adds up here
  bool decays = true;   // false for biases and norms, which are never decayed (nor adapted, where an optimizer adapts)
  double decay_factor = 1.0;  // of weight_decay, where it decays
  double rate_factor = 1.0;   // of the learning rate
};

// The numbers of one update: float64 tensors without dimension, so that where they come from a device nobody need read
// them on the host.
struct UpdateNumbers {
  at::Tensor learning_rate;
  at::Tensor gradient_factor;  // by which every gradient counts (clipping)
  static UpdateNumbers of(double learning_rate, double gradient_factor = 1.0);  // on the CPU
};

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // Makes the state (zero moments) for these parameters; called once.
  virtual void attach(std::vector<Parameter> parameters) = 0;
  // May leave gradients multiplied by the factor.
  virtual void step(const UpdateNumbers& numbers) = 0;

  // What a checkpoint holds of it: for each parameter, in the order attached, its state tensors under the names of
  // state_names(). They are the state itself: reading before the next step and writing into them is how it is saved and
  // restored. A tensor is of the parameter's shape, or has no dimension (the number of steps it was updated in, float).
  virtual std::vector<std::string> state_names() const = 0;
  virtual std::vector<std::vector<at::Tensor>> state() const = 0;  // [parameter][name]
  // Whether every number is updated alone, so that a parameter may be cut anywhere and its parts updated apart.
  virtual bool elementwise() const = 0;
  // Whether running averages of the values are kept, which whoever trains may put in their place and back; and that of
  // parameter number i, of its shape.
  virtual bool keeps_averages() const { return false; }
  virtual at::Tensor average(size_t) const { return {}; }
  // Bytes of state per byte of parameters, for the memory part of a plan.
  virtual double state_ratio() const = 0;
};

using Optimizers = Registry<Optimizer, const Section&>;  // the section is [optimizer]

}  // namespace interlock
