#pragma once
// What changes in the course of a run that goes on under another config, in numbers: a key alone (another run.steps,
// say) does not show that the learning rate of the very next step is another one.

#include <string>

#include "launch/settings/run_settings.h"
#include "parallel/plan/plan.h"

namespace interlock {

// After step `done`: learning rate of the next step and of the last, samples per step, rule, each before and after,
// in one sentence; "" where none of them changes. The settings are checked.
std::string schedule_changes(const RunSettings& before, const RunSettings& now, int64_t done);

// A rule or a batch that begins at `step`, as it is told there: "step 10: rule global (before: local)"; "" where
// neither changes.
std::string phase_text(int64_t step, const Plan& before, const Plan& now);

}  // namespace interlock
