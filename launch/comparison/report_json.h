#pragma once
// report.json of a comparison. Its schema stands in schema.json beside this file, and a test holds it to that.

#include <nlohmann/json_fwd.hpp>

#include "launch/comparison/outcome.h"

namespace interlock {

nlohmann::ordered_json report_json(const Outcome& outcome);

}  // namespace interlock
