// Whether a stage waits for later stages between steps: not under a short horizon, always under global learning, and
// never further ahead than two unreceived activations.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "launch/settings/plans.h"
#include "tests/support/engine_for_test.h"
#include "tests/support/run_for_test.h"

namespace interlock {
namespace {

// Whether rank 0 ends its first step although rank 1 has not begun: rank 1 starts when rank 0 is done or `patience` is
// over.
bool ends_alone(const std::string& rule, int microbatches, std::chrono::milliseconds patience) {
  const RunSettings settings = settings_for_test({"learning.rule=" + rule, "parallel.stages=2", "parallel.ranks=2",
                                                  "parallel.microbatches=" + std::to_string(microbatches)});
  const Plan plan = make_plan(plan_request(settings, *make_model(settings, *make_dataset(settings))));
  std::atomic<bool> done{false}, alone{false};
  run_loopback(2, [&](Transport& transport) {
    const EngineForTest rank = engine_for_test(settings, transport, 1);
    if (transport.rank() == 1) {
      const auto end = std::chrono::steady_clock::now() + patience;
      while (!done && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      alone = done.load();
    }
    rank.engine->train(plan, {1, 1, 1e-3, 0});
    if (transport.rank() == 0) done = true;
    rank.engine->drain();
  });
  return alone;
}

using std::chrono::milliseconds;

// Waiting for something that must happen is patient (a loaded machine), for something that must not happen it is short:
// it can then only miss a fault, never report one that is not there.
TEST(FlushFree, UnderLocalLearningAStageGoesOnWhileTheNextHasNotBegun) {
  EXPECT_TRUE(ends_alone("local", 2, milliseconds(20000)));
}

TEST(FlushFree, TheThirdUnreceivedActivationWaits) { EXPECT_FALSE(ends_alone("local", 3, milliseconds(300))); }

TEST(FlushFree, UnderGlobalLearningAStepNeedsAllStages) { EXPECT_FALSE(ends_alone("global", 1, milliseconds(300))); }

}  // namespace
}  // namespace interlock
