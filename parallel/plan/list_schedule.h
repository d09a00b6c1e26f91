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
  // Per stage: a forward waits while so many microbatches went up and have not yet been passed on down (where nothing
  // is passed on: not yet taught). Empty: no such limit.
  std::vector<int64_t> most_underway;
  // Which a rank does first when both can run: passes back; forwards, within the limits; or all its forwards, losses
  // and own-loss streams before anything else.
  enum class First { passes, forwards, all_forwards } first = First::passes;
  // B is taken apart into I and W, and W fills the time in which the rank would wait for all else. Where a forward
  // waits for room, that is when W makes it.
  bool weights_last = false;
};

std::vector<std::vector<Action>> list_schedule(const PlanShape& shape, const Flows& flows, const ListPolicy& policy);

// Weights last, with at most `most` microbatches alive at a stage: see schedules/zero_bubble.cpp.
ListPolicy zero_bubble_policy(const PlanShape& shape, const Flows& flows, int most);
// The largest number of steps from one rank to another between a stage and the farthest loss that it waits for, plus 1:
// so many microbatches are under way on a round trip that waits nowhere, as under 1F1B.
int depth_in_ranks(const PlanShape& shape, const Flows& flows);

}  // namespace interlock
