// Groups against global: paired by seed, corrected together. The numbers behind it are held to scipy in
// tests/statistics.
#include <gmock/gmock.h>

#include "launch/comparison/statistics_over_seeds.h"
#include "runtime/statistics/holm.h"
#include "runtime/statistics/paired_tests.h"

namespace interlock {
namespace {

const SeedLosses global{4, true, {{1, 2.0}, {2, 2.1}, {3, 1.9}, {4, 2.05}, {5, 1.95}}};

SeedLosses apart_by(const std::vector<double>& differences) {
  SeedLosses group{4, false, {}};
  uint64_t seed = 0;
  for (const double difference : differences) {
    ++seed;
    group.losses[seed] = global.losses.at(seed) + difference;
  }
  return group;
}

TEST(SeedStatistics, PairedAndCorrectedTogether) {
  const std::vector<double> far{0.3, 0.31, 0.29, 0.3, 0.32}, near{0.01, -0.01, 0.02, -0.02, 0.005},
      below{-0.2, -0.21, -0.2, -0.19, -0.22};
  const auto all = statistics_over_seeds({apart_by(far), global, apart_by(near), apart_by(below)});
  ASSERT_EQ(all.size(), 4U);
  EXPECT_EQ(all[0].verdict, SeedVerdict::worse);
  EXPECT_EQ(all[1].verdict, SeedVerdict::reference);
  EXPECT_EQ(all[2].verdict, SeedVerdict::within_noise);
  EXPECT_EQ(all[3].verdict, SeedVerdict::better);
  EXPECT_NEAR(all[0].difference.value(), 0.304, 1e-12);
  EXPECT_NEAR(all[1].mean.value(), 2.0, 1e-12);
  EXPECT_FALSE(all[1].p_value);
  const std::vector<double> p{all[0].p_value.value(), all[2].p_value.value(), all[3].p_value.value()};
  EXPECT_NEAR(p[0], paired_t(far)->p_value, 1e-6);  // losses were added and subtracted again
  const auto adjusted = holm_adjusted(p);
  EXPECT_DOUBLE_EQ(all[0].p_adjusted.value(), adjusted[0]);
  EXPECT_DOUBLE_EQ(all[2].p_adjusted.value(), adjusted[1]);
  EXPECT_DOUBLE_EQ(all[3].p_adjusted.value(), adjusted[2]);
}

// Neither what is global by construction nor what a sceptic asks for makes the rules' own tests harder to pass.
TEST(SeedStatistics, ControlsAndWhatIsGlobalItselfAreNoTestsOfTheRules) {
  const std::vector<double> apart{0.1, 0.02, 0.12, 0.03, 0.1}, none{0, 0, 0, 0, 0};
  SeedLosses control = apart_by({0.05, 0.01, 0.09, 0.02, 0.07});
  control.control = true;
  const auto all = statistics_over_seeds({global, apart_by(apart), apart_by(none), control});
  EXPECT_DOUBLE_EQ(all[1].p_adjusted.value(), all[1].p_value.value());
  EXPECT_DOUBLE_EQ(all[2].p_adjusted.value(), 1);
  EXPECT_EQ(all[2].verdict, SeedVerdict::within_noise);
  EXPECT_DOUBLE_EQ(all[3].p_adjusted.value(), all[3].p_value.value());
}

TEST(SeedStatistics, OneSeedIsNotTested) {
  const auto all = statistics_over_seeds({{4, true, {{1, 2.0}}}, {4, false, {{1, 2.5}}}});
  EXPECT_EQ(all[1].verdict, SeedVerdict::untested);
  EXPECT_DOUBLE_EQ(all[1].difference.value(), 0.5);
  EXPECT_FALSE(all[1].interval);
  EXPECT_FALSE(all[1].p_adjusted);
}

// Of a group whose arm failed, the seeds that both have count.
TEST(SeedStatistics, SeedsThatAreMissingAreLeftOut) {
  SeedLosses group = apart_by({0.1, 0.2, 0.3, 0.1, 0.2});
  group.losses.erase(3);
  EXPECT_NEAR(statistics_over_seeds({global, group})[1].difference.value(), 0.15, 1e-12);
}

TEST(SeedStatistics, OtherStagesAndNoGlobalAreNoReference) {
  SeedLosses elsewhere = apart_by({0.1, 0.2, 0.3, 0.1, 0.2});
  elsewhere.stages = 8;
  const auto all = statistics_over_seeds({global, elsewhere});
  EXPECT_EQ(all[1].verdict, SeedVerdict::untested);
  EXPECT_TRUE(all[1].mean);
  EXPECT_FALSE(all[1].difference);
  EXPECT_TRUE(statistics_over_seeds({}).empty());
}

}  // namespace
}  // namespace interlock
