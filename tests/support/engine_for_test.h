#pragma once
// One rank's engine without a trainer: for tests that say themselves which plan is performed.

#include <memory>

#include "launch/settings/run_settings.h"
#include "parallel/engine/engine.h"

namespace interlock {

struct EngineForTest {
  std::unique_ptr<RankContext> context;
  std::unique_ptr<Engine> engine;
};

// Of the settings' model, cut, heads and replicas, with batches of steps 1 to `steps`. Every rank calls it.
EngineForTest engine_for_test(const RunSettings& settings, Transport& transport, int64_t steps,
                              int64_t bucket_bytes = int64_t{8} << 20, const Device& device = {});

}  // namespace interlock
