#pragma once
// Greedy list scheduling: the order of compute that comes out when every rank, whenever it is free, starts the ready
// action it ranks highest. Time is counted in unit costs (deferred_weights.h), so the order depends on rule and shape
// alone, and all ranks and replicas find the same one.

#include <cstdint>
#include <vector>

#include "parallel/plan/plan.h"

namespace interlock {

struct ListPolicy {
  // Per stage: a forward waits while so many microbatches are alive there.
  std::vector<int64_t> most_in_flight;
  // A rank does all its forwards, losses and own-loss streams before anything else; else passes back come before
  // forwards.
  bool forwards_first = false;
};

std::vector<std::vector<Action>> list_schedule(const PlanShape& shape, const Flows& flows, const ListPolicy& policy);

}  // namespace interlock
