#pragma once
// What the actions of a run will cost, from the model's numbers, for the simulation.

#include <vector>

#include "launch/settings/run_settings.h"
#include "parallel/plan/simulate.h"

namespace interlock {

class Model;

// Costs for simulate of a plan with these flows, at `gflops` per thread and `gigabytes_per_second` between ranks.
SimulationCosts estimate_costs(const RunSettings& settings, const Model& model, const std::vector<int>& partition,
                               const Flows& flows, double gflops = 50, double gigabytes_per_second = 5);

}  // namespace interlock
