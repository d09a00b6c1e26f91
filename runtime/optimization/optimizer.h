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
  at::Tensor value;     // a leaf of the module, updated in place
  at::Tensor gradient;  // same shape and dtype; the engine accumulates here and zeroes it after the update
};

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // Makes the state (zero moments) for these parameters; called once. Biases and norms (fewer than 2 dimensions) never
  // decay.
  virtual void attach(std::vector<Parameter> parameters) = 0;
  virtual void step(double learning_rate) = 0;
  // Bytes of state per byte of parameters, for the memory part of a plan.
  virtual double state_ratio() const = 0;
};

using Optimizers = Registry<Optimizer, const Section&>;  // the section is [optimizer]

}  // namespace interlock
