// Cuts against all cuts.

#include "parallel/plan/partition.h"

#include <gtest/gtest.h>

#include <numeric>
#include <random>

#include "runtime/core/error.h"
#include "tests/plan/all_cuts.h"

namespace interlock {
namespace {

Costs work(double flops) {
  return {.forward_flops = flops / 2, .input_gradient_flops = flops / 4, .weight_gradient_flops = flops / 4};
}

std::pair<double, double> largest_and_squares(const std::vector<double>& blocks, double readout, const Cut& cut) {
  double largest = 0, squares = 0;
  auto begin = blocks.begin();
  for (size_t stage = 0; stage < cut.size(); ++stage) {
    const auto end = begin + cut[stage];
    const double own = std::accumulate(begin, end, stage + 1 == cut.size() ? readout : 0.0);
    largest = std::max(largest, own);
    squares += own * own;
    begin = end;
  }
  return {largest, squares};
}

TEST(Partition, IsTheBestOfAllCuts) {
  std::mt19937 random(3);
  for (int round = 0; round < 300; ++round) {
    const int count = 1 + static_cast<int>(random() % 9), stages = 1 + static_cast<int>(random() % count);
    std::vector<double> flops;
    std::vector<Costs> blocks;
    for (int i = 0; i < count; ++i) {
      flops.push_back(4.0 * (random() % 12));  // multiples of 4 split exactly, so sums are exact
      blocks.push_back(work(flops.back()));
    }
    const double readout = 4.0 * (random() % 20);
    std::pair<double, double> best{1e300, 1e300};
    visit_cuts(count, stages,
               [&](const Cut& each) { best = std::min(best, largest_and_squares(flops, readout, each)); });
    const Cut ours = balanced_partition(blocks, work(readout), stages);
    ASSERT_EQ(std::accumulate(ours.begin(), ours.end(), 0), count);
    ASSERT_EQ(largest_and_squares(flops, readout, ours), best);
    EXPECT_NO_THROW(check_partition(ours, count, stages));
  }
}

TEST(Partition, CountsTheReadoutToTheLastStage) {
  EXPECT_EQ(balanced_partition(std::vector<Costs>(8, work(8)), work(16), 2), (Cut{5, 3}));
  EXPECT_EQ(balanced_partition(std::vector<Costs>(8, work(8)), work(0), 2), (Cut{4, 4}));
  EXPECT_EQ(balanced_partition(std::vector<Costs>(4, work(8)), work(100), 4), (Cut{1, 1, 1, 1}));
}

TEST(Partition, ToleratesWorkThatAddsUpWithRounding) {
  EXPECT_EQ(balanced_partition(std::vector<Costs>(9, work(0.1)), work(0), 3), (Cut{3, 3, 3}));
}

TEST(Partition, RefusesWhatCannotBeCut) {
  const std::vector<Costs> blocks(3, work(1));
  EXPECT_THROW(balanced_partition(blocks, {}, 4), Error);
  EXPECT_THROW(balanced_partition(blocks, {}, 0), Error);
  EXPECT_THROW(check_partition({1, 1}, 3, 3), Error);
  EXPECT_THROW(check_partition({1, 1, 2}, 3, 3), Error);
  EXPECT_THROW(check_partition({3, 0, 0}, 3, 3), Error);
  EXPECT_THROW(check_partition({2147483647, 2147483647, 5}, 3, 3), Error);
  EXPECT_NO_THROW(check_partition({1, 1, 1}, 3, 3));
  try {
    check_partition({1, 1, 2}, 3, 3, "half blocks");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("4 half blocks"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace interlock
