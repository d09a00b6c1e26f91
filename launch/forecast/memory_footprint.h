#pragma once
// How much memory each rank of a run will hold, before anything runs.

#include <span>
#include <vector>

#include "launch/forecast/stage_parts.h"
#include "parallel/plan/plan.h"

namespace interlock {

// Bytes that a rank (or a stage) holds.
struct MemoryFootprint {
  double parameters = 0, gradients = 0, optimizer = 0;
  double product_copies = 0;   // of parameters, in the type of products where that is another
  double data = 0;             // tokenizer, and where samples begin; measured
  double readout_copies = 0;   // of a shared readout: one per stage that reads through it, and the one that comes next
  double checkpoint = 0;       // the copy that is being written while training goes on
  double last_checkpoint = 0;  // the one after the last step, when no microbatch is left; of ranks, checkpoint has what
                               // exceeds activations and sums
  double activations = 0;      // of microbatches in flight, messages, and what a pass needs beside; of ranks only
  double sums = 0;             // what gradients that are summed over ranks add to the peak; of ranks only
  double fixed() const { return parameters + gradients + optimizer + product_copies + readout_copies + checkpoint; }
  double all() const { return fixed() + activations + sums + data; }
  MemoryFootprint& operator+=(const MemoryFootprint& other);
};

std::vector<MemoryFootprint> stage_footprints(const RunSettings& settings, const Model& model,
                                              const std::vector<StageParts>& parts);
// Per rank: what it holds in a step beside what the costs of its stages count (estimate.h), whatever the plan.
std::vector<double> bytes_beside_plans(const RunSettings& settings, const Model& model,
                                       const std::vector<int>& partition);
// Per rank of the first replica, the most that any of the run's plans needs (one for each change of the rule or of the
// batch). Ranks of other replicas hold less of checkpoints: at most the optimizer's state.
std::vector<MemoryFootprint> rank_footprints(const RunSettings& settings, const Model& model,
                                             const std::vector<int>& partition);
// The same where the plans of its steps have been made already.
std::vector<MemoryFootprint> rank_footprints(const RunSettings& settings, const Model& model,
                                             const std::vector<int>& partition, std::span<const Plan* const> plans);

}  // namespace interlock
