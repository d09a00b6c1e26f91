#pragma once
// [checkpoint]: when checkpoints are written, and how many are kept.

#include "runtime/core/config.h"

namespace interlock {

struct CheckpointPolicy {
  int64_t every = 100;  // steps; 0: only where a run is asked to stop
  int64_t keep = 3;
  int64_t stop_seconds = 60;  // that ranks have for a step and a checkpoint when they are asked to stop

  static CheckpointPolicy from(const Section& checkpoint);
};

}  // namespace interlock
