// Curves read between their points.
#include <gtest/gtest.h>

#include "launch/comparison/frames.h"

namespace interlock {
namespace {

const LossCurve curve{{10, 5}, {20, 3}, {30, 3.5}, {40, 2}};

TEST(Frames, LossAtABudget) {
  EXPECT_FALSE(loss_at(curve, 9));
  EXPECT_DOUBLE_EQ(loss_at(curve, 10).value(), 5);
  EXPECT_DOUBLE_EQ(loss_at(curve, 15).value(), 4);
  EXPECT_DOUBLE_EQ(loss_at(curve, 40).value(), 2);
  EXPECT_DOUBLE_EQ(loss_at(curve, 1000).value(), 2);
  EXPECT_FALSE(loss_at({}, 1));
}

TEST(Frames, FirstStepAtALoss) {
  EXPECT_DOUBLE_EQ(step_reaching(curve, 5.5).value(), 10);
  EXPECT_DOUBLE_EQ(step_reaching(curve, 4).value(), 15);
  EXPECT_DOUBLE_EQ(step_reaching(curve, 3).value(), 20);  // the first time, though the curve rises again
  EXPECT_DOUBLE_EQ(step_reaching(curve, 2.5).value(), 30 + 10 * 1 / 1.5);
  EXPECT_FALSE(step_reaching(curve, 1.9));
}

TEST(Frames, TheFrontIsWhatNoneBettersInBoth) {
  const auto indices = [](const std::vector<CostAndLoss>& points) {
    std::vector<size_t> all;
    for (const CostAndLoss& point : front_of(points)) all.push_back(point.index);
    return all;
  };
  EXPECT_EQ(indices({{0, 3, 1}, {1, 1, 4}, {2, 2, 4}, {3, 2, 2}, {4, 4, 1}}), (std::vector<size_t>{1, 3, 0}));
  EXPECT_EQ(indices({{0, 1, 1}, {1, 1, 1}}), std::vector<size_t>{0});
  EXPECT_TRUE(indices({}).empty());
}

}  // namespace
}  // namespace interlock
