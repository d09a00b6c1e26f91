#pragma once
// What the stages of a run are made of, in the model's numbers; the ground of every estimate.

#include <vector>

#include "launch/run/assemble.h"
#include "models/costs.h"

namespace interlock {

struct StageParts {
  Costs body;             // all blocks of the stage
  Costs largest_segment;  // of one block, the most
  Costs head;             // the model's readout on the last stage
  bool has_head = false;
};
// Of every stage, for one microbatch.
std::vector<StageParts> stage_parts(const RunSettings& settings, const Model& model, const std::vector<int>& partition);

// Which stages have a head: those that a rule of one of the run's steps teaches through their own loss, and the last. A
// change of rule that comes after the last step builds none.
std::vector<bool> stages_with_heads(const RunSettings& settings);

double parameter_bytes(const RunSettings& settings);  // of one number

}  // namespace interlock
