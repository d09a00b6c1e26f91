#pragma once
// Random rules, shapes and placements for property tests: any seed gives a request that make_plan must accept.

#include <cstdint>

#include "parallel/plan/plan.h"

namespace interlock {

PlanRequest random_request(uint64_t seed);

// The same step with B taken apart at random: I and later W, W and then I, or B as it was. The W of a stage and its B
// keep their order.
Plan split_at_random(const Plan& plan, uint64_t seed);

}  // namespace interlock
