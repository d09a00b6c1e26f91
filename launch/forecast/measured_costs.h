#pragma once
// What the actions of a run did cost, for the simulation of others.

#include <vector>

#include "parallel/plan/simulate.h"
#include "parallel/training/trainer.h"

namespace interlock {

// Measured seconds per stage and action in the form that `simulate` takes; sizes come from the estimate. `plans` are
// the run's: they tell how many W were deferred.
SimulationCosts measured_costs(const RunSummary& summary, const SimulationCosts& estimate,
                               const std::vector<TrainerSettings::RulePlan>& plans);

}  // namespace interlock
