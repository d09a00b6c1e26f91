// Which evaluation was the best.
#include "parallel/keeping/best_weights.h"

#include <gtest/gtest.h>

namespace interlock {
namespace {

using Scored = std::map<std::string, double>;

TEST(BestWeights, OfEqualScoresTheLowerLossIsBetter) {
  BestWeights best({.score = "accuracy", .patience = 2});
  EXPECT_TRUE(best.improves(1, 0.70, Scored{{"accuracy", 0.5}}));
  EXPECT_TRUE(best.improves(2, 0.69, Scored{{"accuracy", 0.5}}));
  EXPECT_FALSE(best.improves(3, 0.69, Scored{{"accuracy", 0.5}}));
  EXPECT_FALSE(best.out_of_patience());
  EXPECT_FALSE(best.improves(4, 0.10, Scored{{"accuracy", 0.4}})) << "the score comes first";
  EXPECT_TRUE(best.out_of_patience());
  EXPECT_TRUE(best.improves(5, 0.90, Scored{{"accuracy", 0.6}}));
  EXPECT_EQ(best.best()->step, 5);
}

TEST(BestWeights, GoesOnFromWhatACheckpointKept) {
  BestWeights before({.score = "accuracy", .patience = 2}), after = before, old = before;
  before.improves(1, 0.70, Scored{{"accuracy", 0.5}});
  auto state = before.state();
  after.restore(state);
  EXPECT_TRUE(after.improves(2, 0.69, Scored{{"accuracy", 0.5}}));
  state.erase("best.loss");  // as checkpoints were
  old.restore(state);
  EXPECT_FALSE(old.improves(2, 0.69, Scored{{"accuracy", 0.5}}));
  EXPECT_TRUE(old.improves(3, 0.69, Scored{{"accuracy", 0.6}}));
}

}  // namespace
}  // namespace interlock
