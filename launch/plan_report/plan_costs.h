#pragma once
// Measured costs of a run (costs.json of its folder), as `interlock plan --costs` takes them.

#include <string>

#include "parallel/plan/simulate.h"

namespace interlock {

// Error(bad_input) names the file, and the entry that is missing, negative or of the wrong kind. All fields of a stage
// but forward, input_gradient and weight_gradient may be left out and count 0; so may seconds_per_byte and latency.
SimulationCosts read_costs(const std::string& path, int stages);

// The same sizes with unit times: forward, input gradient and weight gradient 1 each; heads, updates and messages 0.
SimulationCosts with_unit_times(SimulationCosts costs);

}  // namespace interlock
