#pragma once
// Updates named parameters from their gradients. One optimizer per stage; nothing in it knows of stages.

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
  at::Tensor gradient;  // same shape and type; the engine accumulates here and zeroes it after the update
  bool decays = true;   // false for biases and norms, which are never decayed (nor adapted, where an optimizer adapts)
};

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // Makes the state (zero moments) for these parameters; called once.
  virtual void attach(std::vector<Parameter> parameters) = 0;
  virtual void step(double learning_rate) = 0;

  // What a checkpoint holds of it: for each parameter, in the order attached, its state tensors under the names of
  // state_names(). They are the state itself: reading before the next step and writing into them is how it is saved and
  // restored. A tensor is of the parameter's shape, or has no dimension (the number of steps it was updated in, float).
  virtual std::vector<std::string> state_names() const = 0;
  virtual std::vector<std::vector<at::Tensor>> state() const = 0;  // [parameter][name]
  // Whether every number is updated alone, so that a parameter may be cut anywhere and its parts updated apart.
  virtual bool elementwise() const = 0;
  // Bytes of state per byte of parameters, for the memory part of a plan.
  virtual double state_ratio() const = 0;
};

using Optimizers = Registry<Optimizer, const Section&>;  // the section is [optimizer]

}  // namespace interlock
