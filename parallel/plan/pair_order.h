#pragma once
// The proof for transports without tags (Transport::ordered_pairs), for a plan that plan_check has accepted: everything
// that one rank sends to another, over all lanes, is received there in the order of sending.
//
// With it, calls on a device that queues cannot wait for each other in a circle. Let every rank have a compute stream,
// a stream for what it sends to and one for what it receives from each other rank (so opposite directions share none),
// and one for collectives; each performs its calls in the order of the list. A send waits for the compute before it in
// the list, a receive for the compute before its post (its memory may be in use until then), an action that needs a
// value for its receive. plan_check's run with rendezvous sends gives one line T of all actions, in which every receive
// is posted before its send. Calls end in the order of T: of a send and its receive, what both wait for on their
// compute streams comes before them in T, and so does the message before them on their streams, which is the same for
// both by this proof. A collective over replicas comes at one place of the list that all replicas share, one over both
// ends of the model where plan_check lets them meet; all of a rank stand on one stream in the order of its list. T is
// then one order of the calls of all communicators, and step follows step.

#include <optional>

#include "parallel/plan/plan_check.h"

namespace interlock {

std::optional<PlanFault> find_pair_fault(const Plan& plan);
// Error(config) with show_fault's text when the plan has such a fault.
void check_pair_order(const Plan& plan);

// The pairs (from, to) of ranks of a whole run between which a plan of this shape may send, replica after replica.
std::vector<std::pair<int, int>> message_pairs(const PlanShape& shape);

}  // namespace interlock
