#pragma once
// Cuts a model into stages, between its units: blocks, or pieces of blocks. It looks at the model's costs only - not at
// the rule, the heads or the ranks
// - so that where and how a run is placed never changes what it learns, and rules are compared on the same cut.

#include <string>
#include <vector>

#include "models/costs.h"

namespace interlock {

// Contiguous [begin, end) per stage, as unit counts: smallest possible largest stage (forward + input gradient +
// weight gradient of its units, the readout counted to the last), then the most even. Error(config) when stages >
// units, which it calls `words`.
std::vector<int> balanced_partition(const std::vector<Costs>& units, const Costs& readout, int stages,
                                    const std::string& words = "blocks");
// Error(config) unless every stage can have a unit.
void check_stages(int stages, int units, const std::string& words = "blocks");
// Checks a cut given by hand: as many entries as stages, each at least 1, the sum the number of units. Error(config).
void check_partition(const std::vector<int>& units_per_stage, int units, int stages,
                     const std::string& words = "blocks");

}  // namespace interlock
