// Against scipy and statsmodels (make_golden.py), and what follows from the definitions.
#include <gmock/gmock.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <vector>

#include "runtime/statistics/bootstrap.h"
#include "runtime/statistics/holm.h"
#include "runtime/statistics/paired_tests.h"

namespace interlock {
namespace {

using nlohmann::json;
using testing::DoubleNear;
using testing::Pointwise;
using Values = std::vector<double>;

json golden() {
  std::ifstream file(INTERLOCK_GOLDEN);
  return json::parse(file);
}

TEST(Statistics, AgreeWithScipy) {
  const json samples = golden()["samples"];
  ASSERT_EQ(samples.size(), 5U);
  for (const auto& [name, sample] : samples.items()) {
    SCOPED_TRACE(name);
    const Values values = sample["values"];
    EXPECT_NEAR(mean(values), sample["mean"], 1e-14);
    EXPECT_NEAR(deviation(values).value(), sample["deviation"], 1e-14);
    const auto interval = student_interval(values).value();
    EXPECT_NEAR(interval.low, sample["t_interval"][0], 1e-12);
    EXPECT_NEAR(interval.high, sample["t_interval"][1], 1e-12);
    const auto t = paired_t(values).value();
    EXPECT_NEAR(t.statistic, sample["t"], 1e-11 * std::abs(t.statistic));
    EXPECT_NEAR(t.p_value, sample["t_p"], 1e-11 * t.p_value);
    EXPECT_DOUBLE_EQ(sign_flip_p(values).value(), sample["sign_flip_p"]);
  }
}

// Two sets of random draws: their quantiles differ by what so many draws leave open. The means of few values lie on a
// coarse lattice; 3 % of the width is less than a step of any of these.
TEST(Statistics, BootstrapAgreesWithScipy) {
  const json samples = golden()["samples"];
  ASSERT_EQ(samples.size(), 5U);
  for (const auto& [name, sample] : samples.items()) {
    SCOPED_TRACE(name);
    const double low = sample["bootstrap"][0], high = sample["bootstrap"][1], open = 0.03 * (high - low);
    const auto interval = bootstrap_interval(sample["values"].get<Values>(), {.draws = 200000}).value();
    EXPECT_NEAR(interval.low, low, open);
    EXPECT_NEAR(interval.high, high, open);
  }
}

TEST(Statistics, BootstrapIsKeyed) {
  const Values values{1.91, 1.87, 2.04, 1.95, 1.88, 2.31, 1.90};
  const auto one = bootstrap_interval(values, {.draws = 500, .seed = 3}).value();
  const auto again = bootstrap_interval(values, {.draws = 500, .seed = 3}).value();
  const auto other = bootstrap_interval(values, {.draws = 500, .seed = 4}).value();
  EXPECT_EQ(one.low, again.low);
  EXPECT_EQ(one.high, again.high);
  EXPECT_TRUE(one.low != other.low || one.high != other.high);
  EXPECT_LT(one.low, mean(values));
  EXPECT_GT(one.high, mean(values));
}

TEST(Statistics, HolmAgreesWithStatsmodels) {
  const json all = golden()["holm"];
  ASSERT_EQ(all.size(), 4U);
  for (const auto& one : all) {
    const Values adjusted = holm_adjusted(one["p"].get<Values>());
    EXPECT_THAT(adjusted, Pointwise(DoubleNear(1e-14), one["adjusted"].get<Values>()));
  }
  EXPECT_TRUE(holm_adjusted(Values{}).empty());
}

TEST(Statistics, OneSeedSaysNothingOfSpread) {
  const Values one{1.5};
  EXPECT_EQ(mean(one), 1.5);
  EXPECT_FALSE(deviation(one));
  EXPECT_FALSE(student_interval(one));
  EXPECT_FALSE(paired_t(one));
  EXPECT_FALSE(sign_flip_p(one));
  EXPECT_FALSE(bootstrap_interval(one));
}

TEST(Statistics, EqualDifferences) {
  const Values none{0, 0, 0}, alike{0.5, 0.5, 0.5};
  EXPECT_EQ(paired_t(none).value().p_value, 1);
  EXPECT_EQ(sign_flip_p(none).value(), 1);
  EXPECT_FALSE(paired_t(alike));                       // t has no bound
  EXPECT_DOUBLE_EQ(sign_flip_p(alike).value(), 0.25);  // two of eight patterns
  EXPECT_EQ(bootstrap_interval(alike).value().low, 0.5);
  EXPECT_EQ(bootstrap_interval(alike).value().high, 0.5);
}

// The floor of the exact test: 2 / 2^n.
TEST(Statistics, SignFlipFloor) {
  Values values;
  for (size_t count = 1; count <= most_flipped; ++count) {
    values.push_back(static_cast<double>(count));
    if (count < 2) continue;
    EXPECT_DOUBLE_EQ(sign_flip_p(values).value(), std::ldexp(2.0, -static_cast<int>(count)));
  }
  values.push_back(1);
  EXPECT_FALSE(sign_flip_p(values));
}

}  // namespace
}  // namespace interlock
