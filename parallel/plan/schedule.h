#pragma once
// A schedule decides only the order of compute on each rank. Communication, reduction and updates are added by lower.
// One schedule per file in schedules/, registered by name.

#include <vector>

#include "parallel/plan/plan.h"
#include "runtime/core/registry.h"

namespace interlock {

class Schedule {
 public:
  virtual ~Schedule() = default;
  // Per rank the compute actions F, L, I, W, B of one step, in order. Each stage's W and B, and its L, come with
  // ascending microbatches, so that sums of gradients are the same bits under every schedule.
  virtual std::vector<std::vector<Action>> order(const PlanShape& shape, const Flows& flows) const = 0;
};

using Schedules = Registry<Schedule>;

}  // namespace interlock
