// The depth advisor against the table that its fit gives, and its limits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launch/plan_report/depth_advice.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

DepthAdvice of(double parameters) { return advise_depth(parameters, 12, 768, 1024); }

// Parameters in blocks, layers, width, as worked out by hand from ln(width) = 5.039 + 0.0555 layers.
TEST(DepthAdvice, IsTheTableOfTheFit) {
  const std::tuple<double, int64_t, int64_t> table[] = {{3.3e6, 6, 215}, {13e6, 12, 300},  {38e6, 18, 419},
                                                        {98e6, 24, 585}, {319e6, 32, 911}, {1.27e9, 42, 1588}};
  for (const auto& [parameters, layers, width] : table) {
    const DepthAdvice advice = of(parameters);
    EXPECT_EQ(advice.best_layers, layers) << parameters;
    EXPECT_NEAR(static_cast<double>(advice.best_width), static_cast<double>(width), 0.02 * static_cast<double>(width));
    EXPECT_TRUE(advice.in_range);
  }
}

// The abstract of the paper: about 30,000 wide at 10^12 parameters.
TEST(DepthAdvice, ComesToThePublishedWidthAtATrillion) {
  const DepthAdvice advice = of(1e12);
  EXPECT_NEAR(static_cast<double>(advice.best_width), 30e3, 1e3);
  EXPECT_FALSE(advice.in_range);
  EXPECT_THAT(advice_text(advice, 4), testing::HasSubstr("outside of what was fitted"));
}

TEST(DepthAdvice, GrowsWithTheModelAndKeepsItsParameters) {
  int64_t layers = 0, width = 0;
  for (double parameters = 3e6; parameters < 1e12; parameters *= 1.5) {
    const DepthAdvice advice = of(parameters);
    EXPECT_GE(advice.best_layers, layers);
    EXPECT_GE(advice.best_width, width * 0.97);  // layers are whole: width gives way where one is added
    layers = advice.best_layers, width = advice.best_width;
    const double again = 12.0 * static_cast<double>(layers) * static_cast<double>(width * width);
    EXPECT_NEAR(again / parameters, 1, 0.01);
  }
}

TEST(DepthAdvice, RefusesWhatIsTooSmall) {
  try {
    of(2e6);
    FAIL() << "nothing was refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::config);
    EXPECT_THAT(error.what(), testing::HasSubstr("3 million"));
  }
}

TEST(DepthAdvice, SaysWhatItMeansForAPipeline) {
  EXPECT_THAT(advice_text(of(85e6), 4),
              testing::AllOf(testing::HasSubstr("on 4 stages"), testing::HasSubstr("In doubt")));
  EXPECT_THAT(advice_text(advise_depth(98e6, 24, 585, 1), 1), testing::HasSubstr("as deep as that"));
}

}  // namespace
}  // namespace interlock
