#pragma once
// The config that all arms of a comparison begin from: what is added to it, and what is refused.

#include <string>
#include <vector>

#include "launch/comparison/arms.h"
#include "launch/comparison/request.h"

namespace interlock {

// With what every arm has beside the file: steps, evaluations, the half of the held-out part that is not tested, and
// one cut for all rules.
BaseConfig base_config(const ComparisonRequest& request);
// A sentence where arms are cut otherwise than the config says; else "".
std::string note_on_cut(const ComparisonRequest& request);
// Error(config) for what cannot be compared. `settings` are those of the base.
void check_base(const RunSettings& settings, const ComparisonRequest& request);

// What is asked for, or else what the config has. Error(usage) for a head that the model does not know.
std::vector<int> stages_of(const ComparisonRequest& request, const RunSettings& settings);
std::vector<std::string> heads_of(const ComparisonRequest& request, const RunSettings& settings);
std::vector<std::string> test_paths_of(
    const RunSettings& settings);  // of data.test_paths; none: half of what is held out

}  // namespace interlock
