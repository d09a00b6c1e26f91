#pragma once
// Performs a plan as devices with queues would, without tags: hosts run ahead and put calls on streams; a stream
// performs its calls one after the other; a send and a receive end when both are the first of their streams and what
// they wait for on the compute stream is done; a collective when it is the first on all its members. The independent
// truth that find_pair_fault is held against.

#include <cstdint>
#include <string>

#include "parallel/plan/plan.h"

namespace interlock {

enum class StreamLayout {
  per_pair,  // one for what goes to and one for what comes from each other rank
  one,       // all messages of a rank on one stream
};

// "" when `steps` steps ran to their end; "deadlock", or which message met a receive of another one. Replicas included.
std::string run_on_devices(const Plan& plan, int steps, uint64_t seed, StreamLayout layout);

}  // namespace interlock
