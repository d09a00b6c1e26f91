#pragma once
// Going on from a checkpoint: which one, and what may have changed since it was written.

#include <memory>
#include <string>
#include <vector>

#include "launch/settings/run_settings.h"
#include "runtime/storage/checkpoint.h"

namespace interlock {

// The newest whole checkpoint of the run folder, or "" when there is none. Broken ones are told of and passed over;
// `faults`, when given, gets why, the newest first.
std::string find_checkpoint(const std::string& run_folder, std::vector<std::string>* faults = nullptr);
// The same for a run that is to go on: "" only where there is no checkpoint at all. Error(bad_input) names each of
// those there are, and its fault, when none is whole; and weights of a run's end, which beginning again would replace.
std::string checkpoint_to_resume(const std::string& run_folder);

// Compares the config and the data with those of the checkpoint. What decides which network this is or which samples it
// sees must be equal: Error(config) names the keys. Everything else may change (placement, rule, schedule of the
// learning rate, how long, where the data lies); returns what did, and last what that means for the steps to come.
// `dataset` is open.
std::vector<std::string> check_changes(const RunSettings& settings, const Dataset& dataset,
                                       const Checkpoint& checkpoint);

// How many samples the run had seen.
DataPosition data_position(const Checkpoint& checkpoint);

}  // namespace interlock
