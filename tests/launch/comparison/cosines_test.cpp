// Cosines of gradients: 1 where a rule gives a stage the global gradient, less elsewhere; and the test loss against the
// evaluation of the run itself.
#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "launch/comparison/cosines.h"
#include "launch/comparison/scoring.h"
#include "launch/run/perform.h"
#include "launch/settings/parts.h"
#include "parallel/transport/loopback.h"
#include "tests/support/run_for_test.h"

namespace interlock {
namespace {

struct RunInFolder {
  std::string folder;
  RunResult result;
};

// A run on threads in a folder of its own, as `train` leaves it.
RunInFolder run_in_folder(std::vector<std::string> overrides) {
  RunInFolder run{new_folder() + "/run", {}};
  overrides.push_back("run.folder='" + run.folder + "'");
  const RunSettings settings = settings_for_test(overrides);
  const auto dataset = make_dataset(settings);
  dataset->open();
  run_loopback(settings.parallel.processes(), [&](Transport& transport) {
    RunResult mine = perform(settings, transport, dataset, {}, {});
    if (transport.rank() == 0) run.result = std::move(mine);
  });
  return run;
}
std::string folder_of_run(const std::vector<std::string>& overrides) { return run_in_folder(overrides).folder; }

TEST(Cosines, GlobalLearningHasTheGlobalGradient) {
  const auto cosines = gradient_cosines(folder_of_run({"learning.rule=global"}), 8);
  ASSERT_EQ(cosines.size(), 4U);
  for (const auto& [stage, cosine] : cosines) EXPECT_NEAR(cosine, 1, 1e-12) << stage;
}

// furthest(2): the two stages at the end follow the last loss; the others follow losses of their own.
TEST(Cosines, StagesNearTheTopFollowTheLastLoss) {
  const auto cosines = gradient_cosines(folder_of_run({"learning.rule=furthest", "learning.horizon=2"}), 8);
  ASSERT_EQ(cosines.size(), 4U);
  for (const int stage : {2, 3}) EXPECT_NEAR(cosines.at(stage), 1, 1e-12) << stage;
  for (const int stage : {0, 1}) {
    EXPECT_LT(cosines.at(stage), 0.999) << stage;
    EXPECT_GT(cosines.at(stage), -1) << stage;
  }
}

TEST(Cosines, AFrozenStageHasNone) {
  const auto cosines = gradient_cosines(folder_of_run({"learning.rule=global", "learning.frozen=[0]"}), 8);
  EXPECT_FALSE(cosines.contains(0));
  EXPECT_TRUE(cosines.contains(3));
}

// The test loss over all held-out samples by the last head is that of the run's own evaluation over the same samples.
TEST(Scoring, AgreesWithTheRunsOwnEvaluation) {
  const std::vector<std::string> overrides = {"learning.rule=sum", "learning.horizon=2", "data.held_out_part=test",
                                              "run.evaluate_every=1", "run.evaluate_sequences=1000"};
  const auto [folder, result] = run_in_folder(overrides);
  const TestScore one = score_run(folder, {.paths = {}, .sequences = 1000, .threads = 1});
  const TestScore three = score_run(folder, {.paths = {}, .sequences = 1000, .threads = 3});
  EXPECT_EQ(one.loss, three.loss);
  EXPECT_EQ(one.exits, three.exits);
  EXPECT_EQ(one.exits.size(), 4U);
  // The same products in batches of other sizes: float32 sums of some thousand numbers in another order.
  EXPECT_NEAR(one.loss, result.validation_loss.value(), 1e-5);
}

}  // namespace
}  // namespace interlock
