#pragma once
// The process that forecast/measured_memory measures: a rank with everything but a network worth the name.

#include <string>

namespace interlock {

// Performs a run of two steps of the smallest such model in this process. Returns its peak memory in bytes.
double empty_rank_bytes(const std::string& model, const std::string& precision);

}  // namespace interlock
