// From how many microbatches on global learning is as fast, by steps that were measured.
#include <gtest/gtest.h>

#include "launch/comparison/costing.h"

namespace interlock {
namespace {

using Between = std::pair<std::optional<double>, std::optional<double>>;

Between between(const StepsBy& rule, const StepsBy& global) {
  const auto found = measured_break_even(rule, global);
  return found ? Between{found->above, found->at_most} : Between{};
}

TEST(MeasuredBreakEven, LiesBetweenTheLastNumberThatGlobalLosesAndTheNext) {
  const StepsBy rule{{8, 90}, {1, 20}, {2, 30}, {4, 50}};
  EXPECT_EQ(between(rule, {{1, 40}, {2, 45}, {4, 50}, {8, 80}}), Between(2, 4));
  EXPECT_EQ(between(rule, {{1, 20}, {2, 30}, {4, 50}, {8, 80}}), Between({}, 1));
  EXPECT_EQ(between(rule, {{1, 40}, {2, 45}, {4, 55}, {8, 94}}), Between(4, 8)) << "times of short runs are so noisy";
  EXPECT_EQ(between(rule, {{1, 40}, {2, 45}, {4, 55}, {8, 99}}), Between(8, {}));
  EXPECT_EQ(between(rule, {{1, 40}, {2, 29}, {4, 55}, {8, 80}}), Between(4, 8)) << "it is to stay so";
}

TEST(MeasuredBreakEven, NeedsNumbersThatBothWereMeasuredAt) {
  EXPECT_EQ(between({{1, 20}, {4, 50}}, {{4, 45}, {8, 80}}), Between({}, 4));
  EXPECT_FALSE(measured_break_even({{1, 20}}, {{2, 20}}));
  EXPECT_FALSE(measured_break_even({}, {}));
}

}  // namespace
}  // namespace interlock
