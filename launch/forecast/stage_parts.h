#pragma once
// What the stages of a run are made of, in the model's numbers; the ground of every estimate.

#include <string>
#include <vector>

#include "launch/settings/run_settings.h"
#include "models/costs.h"

namespace interlock {

class Model;

struct StageParts {
  std::vector<Costs> units;  // of the stage
  Costs body;                // all of them
  Costs head;                // the model's readout on the last stage
  bool has_head = false;
};
// Of every stage, for one microbatch.
std::vector<StageParts> stage_parts(const RunSettings& settings, const Model& model, const std::vector<int>& partition);

// Why a run of these stages would change nothing: no body and no head that its rules teach has a parameter that trains.
// "" when something does, or when the run has no step.
std::string nothing_learns(const RunSettings& settings, const std::vector<StageParts>& parts);

double parameter_bytes(const RunSettings& settings);  // of one number

}  // namespace interlock
