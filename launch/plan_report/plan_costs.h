#pragma once
// Measured costs of a run (costs.json of its folder), as `interlock plan --costs` takes them.

#include <string>

#include "parallel/plan/simulate.h"

namespace interlock {

// Error(bad_input) names the file, and the entry that is missing, negative or of the wrong kind. All fields of a stage
// but forward, input_gradient and weight_gradient may be left out and count 0; so may seconds_per_byte and latency.
SimulationCosts read_costs(const std::string& path, int stages);

// Costs of a run with as many stages, but of another model or microbatch, would say nothing about this one, whose are
// `here`.
void warn_of_other_sizes(const SimulationCosts& here, const std::string& file);

// `sizes` with the times of `measured`. A run's file tells the sizes of its own rule, whose heads another may lack.
SimulationCosts with_times_of(SimulationCosts sizes, const SimulationCosts& measured);

// The same sizes with unit times: forward, input gradient and weight gradient 1 each; heads, updates and messages 0.
SimulationCosts with_unit_times(SimulationCosts costs);

}  // namespace interlock
