#pragma once
// From the order of compute to a whole plan: sends follow the action that makes the value, receives are posted on the
// other rank at the place it has reached by then in a simulated run (so a matching order of both exists by
// construction, see lower.cpp for the argument), REDUCE_GRAD, REDUCE_NORM and U close each stage or rank.

#include "parallel/plan/schedule.h"

namespace interlock {

// Fills plan.ranks from `order`. Error(config) when the order can never run (a value is used before it is made).
void lower(Plan& plan, const std::vector<std::vector<Action>>& order);

}  // namespace interlock
