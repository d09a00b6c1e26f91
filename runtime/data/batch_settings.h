#pragma once
// How large the batches of a run are.

#include <vector>

#include "runtime/core/config.h"
#include "runtime/data/loader.h"

namespace interlock {

struct BatchSettings {
  int64_t microbatch_size = 2;     // samples
  std::vector<BatchPhase> phases;  // [[parallel.batch_change]]: fewer microbatches from some step on

  // No phase may have more than `most_microbatches`.
  static BatchSettings from(const Section& parallel, int64_t most_microbatches);
};

}  // namespace interlock
