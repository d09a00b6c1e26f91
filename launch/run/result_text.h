#pragma once
// What came out of a run, for people.

#include <cstdint>
#include <string>

#include "launch/run/result.h"

namespace interlock {

// Lines for the end of `train`. `steps_asked`: the last step of the config.
std::string text_of(const RunResult& result, int64_t steps_asked);

// Of a run that is done, and of which only the weights are kept (result.not_kept).
std::string not_kept_text(const RunResult& result);

}  // namespace interlock
