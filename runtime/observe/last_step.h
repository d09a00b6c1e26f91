#pragma once
// How far a run has told that it came.

#include <cstdint>
#include <string>

namespace interlock {

// The last step in metrics.jsonl of a run folder, looked for from the end of the file; 0: none.
int64_t last_step_told(const std::string& run_folder);

}  // namespace interlock
