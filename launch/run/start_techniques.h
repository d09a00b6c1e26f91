#pragma once
// What techniques have added to the weights that a run starts from.

#include "launch/settings/run_settings.h"
#include "runtime/data/dataset.h"
#include "runtime/storage/weights_set.h"

namespace interlock {

// Error(config) where the weights compute with tensors that a technique of their run has added (adapters, LoRA) and
// that this run's techniques do not: left out without a word, they would be another model. Weights that do not say how
// they were trained pass.
void check_start_techniques(const RunSettings& settings, const Dataset& dataset, const WeightsSet& weights);

}  // namespace interlock
