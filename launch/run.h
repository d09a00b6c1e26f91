#pragma once
// One training run: what every rank does from settings to the last file, over any transport.

#include <string>
#include <vector>

#include "launch/assemble.h"
#include "parallel/trainer.h"

namespace interlock {

// Ranks and threads of one run. Every rank calls it; the summary is filled on rank 0. `outlets.weights_path` must be
// the same on all ranks. `dataset` may be shared by ranks of one process; it is open.
RunSummary run_rank(const RunSettings& settings, Transport& transport, std::shared_ptr<const Dataset> dataset,
                    TrainerOutlets outlets);

// Proved plans of all rules of a run.
std::vector<TrainerSettings::RulePlan> make_plans(const RunSettings& settings);

// Measured seconds per stage and action in the form that `simulate` takes; sizes come from the estimate.
SimulationCosts measured_costs(const RunSummary& summary, const SimulationCosts& estimate);

}  // namespace interlock
