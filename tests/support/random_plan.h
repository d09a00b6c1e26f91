#pragma once
// Random rules, shapes and placements for property tests: any seed gives a request that make_plan must accept.

#include <cstdint>

#include "parallel/plan/plan.h"

namespace interlock {

PlanRequest random_request(uint64_t seed);

}  // namespace interlock
