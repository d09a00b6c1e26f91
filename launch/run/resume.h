#pragma once
// Going on from a checkpoint: which one, and what may have changed since it was written.

#include <memory>
#include <string>

#include "launch/run/assemble.h"
#include "runtime/storage/checkpoint.h"

namespace interlock {

// The newest whole checkpoint of the run folder, or "" when there is none. Broken ones are told of and passed over.
std::string find_checkpoint(const std::string& run_folder);

// Compares the config with the one in the checkpoint. What decides which network this is or which samples it sees must
// be equal: Error(config) names the keys. Everything else may change (placement, rule, schedule of the learning rate,
// how long, paths); what did is told in the log on rank 0.
void check_changes(const RunSettings& settings, const Checkpoint& checkpoint, bool tell);

// How many samples the run had seen.
DataPosition data_position(const Checkpoint& checkpoint);

}  // namespace interlock
