#pragma once
// The most memory a rank needs during a step, read off the order of its list.

#include "parallel/plan/simulate.h"

namespace interlock {

// Fixed bytes of the rank's stages, plus the largest sum of saved activations and posted receive buffers at any place
// of its list. A microbatch is alive from its forward to the last pass through its stage; what I recorded for a
// deferred W lives from the one to the other, and what only other passes needed is free in between; sums of gradients
// over replicas live from the last microbatch to their end; the buffer of an input lives from its receive to the
// forward (then it is part of the activations), that of a stream to the last action that works on it. A stage through
// which nothing is passed back keeps of a microbatch its output alone, until its loss is done.
double peak_bytes(const Plan& plan, const SimulationCosts& costs, int rank);

}  // namespace interlock
