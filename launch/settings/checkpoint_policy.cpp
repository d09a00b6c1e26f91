#include "launch/settings/checkpoint_policy.h"

namespace interlock {

CheckpointPolicy CheckpointPolicy::from(const Section& checkpoint) {
  return {checkpoint.integer("every", 100, 0), checkpoint.integer("keep", 3, 1),
          checkpoint.integer("stop_seconds", 60, 1, 1 << 30)};
}

}  // namespace interlock
