#pragma once
// The order of forwards in an evaluation.

#include <vector>

#include "parallel/plan/plan.h"

namespace interlock {

// Every rank, whenever it is free, does the next forward of the oldest microbatch that is ready for it, each of one
// unit of time. So ranks with several stages (interleaved) overlap as in training. At most twice as many microbatches
// as there are ranks are on their way at once. The loss comes right behind the forward of the last stage.
std::vector<std::vector<Action>> evaluation_order(const PlanShape& shape);

}  // namespace interlock
