#pragma once
// A step of a group as it was measured, above the same step replayed.

#include <optional>

#include "launch/comparison/outcome.h"

namespace interlock {

// Of the first arm that is done. None where it has no trace and there are no costs to replay.
std::optional<TimelinePicture> timeline_of(const GroupOutcome& group, const RunSettings& settings);

}  // namespace interlock
