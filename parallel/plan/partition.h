#pragma once
// Cuts the blocks of a model into stages. It looks at the model's costs only - not at the rule, the heads or the ranks
// - so that where and how a run is placed never changes what it learns, and rules are compared on the same cut.

#include <vector>

#include "models/costs.h"

namespace interlock {

// Contiguous [begin, end) per stage, as block counts: smallest possible largest stage (forward + input gradient +
// weight gradient of its blocks, the readout counted to the last), then the most even. Error(config) when stages >
// blocks.
std::vector<int> balanced_partition(const std::vector<Costs>& blocks, const Costs& readout, int stages);
// Checks a cut given by hand: as many entries as stages, each at least 1, the sum the number of blocks. Error(config).
void check_partition(const std::vector<int>& blocks_per_stage, int blocks, int stages);

}  // namespace interlock
