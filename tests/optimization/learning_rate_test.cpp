// The curve against values worked out by hand, and what a config may and may not ask for.
#include "runtime/optimization/learning_rate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "runtime/core/error.h"

namespace interlock {
namespace {

std::vector<double> curve(const LearningRate::Config& config, int64_t last) {
  std::vector<double> rates;
  const LearningRate rate(config);
  for (int64_t step = 1; step <= last; ++step) rates.push_back(rate.at(step));
  return rates;
}

void expect_curve(const LearningRate::Config& config, const std::vector<double>& expected) {
  const auto rates = curve(config, static_cast<int64_t>(expected.size()));
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(rates[i], expected[i], 1e-15)
        << config.decay << " step " << i + 1;  // a few roundings of numbers near 1
  }
}

TEST(LearningRate, Shapes) {
  // peak 2, 2 steps of warm-up, 4 of decay: 4/4, 3/4, 2/4, 1/4 of the decay are left at steps 3 to 6
  expect_curve({2.0, 2, "constant", 1.0, 0.0, 6}, {1, 2, 2, 2, 2, 2});
  expect_curve({2.0, 2, "linear", 1.0, 0.0, 6}, {1, 2, 2, 1.5, 1, 0.5});
  expect_curve({2.0, 2, "polynomial", 1.0, 0.0, 6}, {1, 2, 2, 1.5, 1, 0.5});
  expect_curve({2.0, 2, "polynomial", 2.0, 0.0, 6}, {1, 2, 2, 2 * 9. / 16, 2 * 4. / 16, 2 * 1. / 16});
  expect_curve({2.0, 2, "polynomial", 2.0, 0.5, 6}, {1, 2, 2, 1 + 9. / 16, 1 + 4. / 16, 1 + 1. / 16});
  const double root = std::sqrt(0.5);  // cos(pi / 4)
  expect_curve({2.0, 2, "cosine", 1.0, 0.0, 6}, {1, 2, 2, 1 + root, 1, 1 - root});
  expect_curve({2.0, 2, "cosine", 1.0, 0.5, 6}, {1, 2, 2, 1.5 + root / 2, 1.5, 1.5 - root / 2});
}

// As torch.optim.lr_scheduler.MultiStepLR([2, 4], 0.5) stepped once per update.
TEST(LearningRate, FallsAtMilestones) {
  LearningRate::Config config{2.0, 0, "steps", 1.0, 0.0, 6};
  config.milestones = {2, 4};
  config.factor = 0.5;
  expect_curve(config, {2, 2, 1, 1, 0.5, 0.5, 0.5});
}

TEST(LearningRate, Ends) {
  expect_curve({1.0, 0, "linear", 1.0, 0.0, 2}, {1, 0.5});                 // no warm-up: the full rate from step 1
  expect_curve({1.0, 0, "linear", 1.0, 0.0, 1}, {1});                      // a single step
  expect_curve({1.0, 10, "linear", 1.0, 0.0, 4}, {0.1, 0.2, 0.3, 0.4});    // a run that ends within its warm-up
  expect_curve({1.0, 1, "linear", 1.0, 0.0, 3}, {1, 1, 0.5, 0, 0});        // beyond the last step
  expect_curve({1.0, 0, "cosine", 1.0, 0.25, 2}, {1, 0.625, 0.25, 0.25});  // ... the floor
}

TEST(LearningRate, ConstantDoesNotLookAhead) {
  EXPECT_EQ(curve({0.3, 4, "constant", 1.0, 0.0, 5}, 5), curve({0.3, 4, "constant", 1.0, 0.0, 5000}, 5));
}

LearningRate::Config read(const std::string& lines) {
  const auto config = Config::from_text("[optimizer]\n" + lines);
  auto read = LearningRate::Config::from(config.section("optimizer"), 100);
  config.reject_unknown();
  return read;
}

TEST(LearningRateConfig, MilestonesRiseAndStandWithSteps) {
  const auto config = read("decay = 'steps'\nmilestones = [30, 60]\n");
  EXPECT_EQ(config.milestones, (std::vector<int64_t>{30, 60}));
  EXPECT_EQ(config.factor, 0.1);
  for (const char* wrong : {"decay = 'steps'", "decay = 'steps'\nmilestones = []", "decay = 'steps'\nmilestones = [0]",
                            "decay = 'steps'\nmilestones = [5, 5]", "milestones = [5]"})
    EXPECT_THROW(read(wrong), Error) << wrong;
}

TEST(LearningRateConfig, DefaultsAreTheContract) {
  const auto config = read("");
  EXPECT_EQ(config.peak, 1e-3);
  EXPECT_EQ(config.warmup_steps, 10);
  EXPECT_EQ(config.decay, "linear");
  EXPECT_EQ(config.total_steps, 100);
}

TEST(LearningRateConfig, EveryKeyIsRead) {
  const auto config = read("learning_rate = 2\nwarmup_steps = 3\ndecay = \"polynomial\"\npower = 2.5\nfloor = 0.1");
  EXPECT_EQ(config.peak, 2.0);
  EXPECT_EQ(config.warmup_steps, 3);
  EXPECT_EQ(config.decay, "polynomial");
  EXPECT_EQ(config.power, 2.5);
  EXPECT_EQ(config.floor, 0.1);
}

TEST(LearningRateConfig, Refusals) {
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {"learning_rate = -1", "learning_rate"},
      {"learning_rate = nan", "learning_rate"},
      {"learning_rate = \"fast\"", "learning_rate"},
      {"warmup_steps = -1", "warmup_steps"},
      {"decay = \"cosin\"", "cosine"},
      {"decay = \"cosine\"\nfloor = 1.5", "floor"},
      {"decay = \"polynomial\"\npower = -1", "power"},
      {"decay = \"cosine\"\npower = 2", "polynomial"},  // nothing is read and then ignored
      {"decay = \"linear\"\nfloor = 0.1", "polynomial"},
  };
  for (const auto& [lines, word] : wrong) {
    try {
      read(lines);
      ADD_FAILURE() << "accepted " << lines;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::config);
      EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace interlock
