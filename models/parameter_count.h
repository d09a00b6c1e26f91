#pragma once
// How many numbers a model has.

#include <cstdint>

#include "models/model.h"

namespace interlock {

// As Hugging Face's transformers counts them: body and readout, a tied tensor once; local heads are not part of the
// model. Makes no tensor.
inline int64_t parameter_count(const Model& model) {
  int64_t count = model.readout_costs(1).parameters;
  for (const Costs& block : model.unit_costs(1)) count += block.parameters;
  const auto tie = model.tie();
  return tie ? count - tie->numbers : count;
}

// How many of these train: a tied tensor once.
inline int64_t trained_parameter_count(const Model& model) {
  int64_t count = model.readout_costs(1).trained();
  for (const Costs& block : model.unit_costs(1)) count += block.trained();
  const auto tie = model.tie();
  return tie && tie->trained ? count - tie->numbers : count;
}

}  // namespace interlock
