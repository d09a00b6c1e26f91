#pragma once
// The first pass of plan_check: everything about a plan that shows in the lists of single ranks.

#include <optional>

#include "parallel/plan/plan_check.h"

namespace interlock {

std::optional<PlanFault> find_rank_fault(const Plan& plan);

}  // namespace interlock
