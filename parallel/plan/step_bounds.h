#pragma once
// How long a steady step takes at least, whatever the order of compute: no schedule is below any of these.

#include "parallel/plan/simulate.h"

namespace interlock {

struct StepBounds {
  double busiest_rank = 0;   // compute of the rank that has most of it
  double longest_chain = 0;  // of passes of one microbatch that wait for one another, and end where a step begins anew
  double waiting_rank = 0;   // a rank's compute and the time before and after it in which none of it can run
  double busiest_link = 0;   // the bytes of all messages from one rank to another
  double best() const;       // the largest
};

// `plan` needs no actions: its shape, rule and flags are read. Without a flush a step begins anew on each rank as it
// ends there, so chains count from a rank back to itself; with one (norm over the model) from the first stage to the
// last pass anywhere, and tied ends add the way from the one to the other.
StepBounds step_bounds(const Plan& plan, const SimulationCosts& costs);

}  // namespace interlock
