#pragma once
// Orders written down instead of found: a schedule says in which order each rank goes through the passes of global
// learning, and every rule gets its own actions at those places. What a rule's pass waits for is no more than what
// global learning's waits for (the stage below for F, the stage above or the own loss for the rest), so an order that
// runs for global learning runs for every rule.

#include <vector>

#include "parallel/plan/plan.h"

namespace interlock {

// F, I, W or B of one microbatch at one stage.
struct Pass {
  Kind kind = Kind::forward;
  int stage = 0;
  int microbatch = 0;
};

// F: the forward, the loss, and the streams of the own loss alone, which exist from then on. I: all other streams. W:
// the weight gradient. B: all other streams and the weight gradient, in one walk where the rule allows it. What a stage
// does not do under the rule is left out.
std::vector<std::vector<Action>> actions_of(const Flows& flows, const std::vector<std::vector<Pass>>& ranks);

}  // namespace interlock
