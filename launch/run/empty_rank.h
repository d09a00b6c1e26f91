#pragma once
// The process that forecast/measured_memory measures: a rank with everything but a network worth the name.

#include <string>

namespace interlock {

// Performs a run of two steps of the smallest such model that runs the code of a real one in this process (of one whose
// products are large, or of one where none is). Returns its peak memory in bytes, less what the forecast says of its
// own tensors.
double empty_rank_bytes(const std::string& model, const std::string& precision, bool large_products);

}  // namespace interlock
