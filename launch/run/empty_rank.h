#pragma once
// The process that forecast/measured_memory measures: a rank with everything but a network worth the name.

#include <string>

#include "launch/forecast/measured_memory.h"

namespace interlock {

// Performs a run of two steps of the smallest such model that runs the code of a real one in this process (of one whose
// products are large, or of one where none is): its peak memory, less what the forecast says of its own tensors.
EmptyRank empty_rank(const std::string& model, const std::string& precision, bool large_products);

}  // namespace interlock
