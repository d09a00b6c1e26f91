#pragma once
// The proof that a plan is right, before anything runs. Sends are taken as rendezvous: each may block until its receive
// is posted. Proved: every action belongs to its rank; every value is made before it is used, every receive has its
// send in the same order of its lane and nothing is sent that nobody receives; no deadlock; each loss runs once per
// microbatch, each outgoing stream is passed on once, each learning stage is taught exactly once per microbatch, in
// ascending order; U comes once, after everything of its stage, after REDUCE_GRAD with replicas and REDUCE_NORM with a
// norm over the model.

#include <optional>
#include <string>

#include "parallel/plan/plan.h"

namespace interlock {

struct PlanFault {
  int rank = 0;
  int64_t index = 0;   // of the failing action in plan.ranks[rank]; one past the end: something is missing
  std::string reason;  // a sentence
};

std::optional<PlanFault> find_fault(const Plan& plan);
// A grid of all ranks around the fault, the failing action marked, then the reason.
std::string show_fault(const Plan& plan, const PlanFault& fault);
// Error(bad_input) with show_fault's text when the plan has a fault.
void plan_check(const Plan& plan);

}  // namespace interlock
