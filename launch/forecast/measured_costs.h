#pragma once
// What the actions of a run did cost, for the simulation of others.

#include "parallel/plan/simulate.h"
#include "parallel/training/trainer.h"

namespace interlock {

// Measured seconds per stage and action in the form that `simulate` takes; sizes come from the estimate.
SimulationCosts measured_costs(const RunSummary& summary, const SimulationCosts& estimate);

}  // namespace interlock
