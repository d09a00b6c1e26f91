// The synthetic spirals: where points lie, how classes are shared, and what they depend on.

#include <cmath>
#include <numbers>
#include <set>

#include "tests/data/support.h"

namespace interlock {
namespace {

TEST(Spirals, PointsLieOnTheArmOfTheirClass) {
  const auto dataset = make_dataset("spirals", "[data]\nclasses = 4\nsamples = 1000\nnoise = 0.0");
  const Batch batch = dataset->batch(Split::training, numbers(0, 950));
  EXPECT_EQ(batch.predicted, 950);
  EXPECT_EQ(dataset->content(), SampleContent::numbers);
  for (int64_t i = 0; i < 950; ++i) {
    const double x = batch.inputs.const_data_ptr<float>()[2 * i], y = batch.inputs.const_data_ptr<float>()[2 * i + 1];
    const double radius = std::hypot(x, y), turns = std::atan2(y, x) / (2 * std::numbers::pi);
    const double arm = static_cast<double>(batch.targets.const_data_ptr<int64_t>()[i]) / 4 + 0.75 * radius;
    const double apart = turns - arm - std::round(turns - arm);
    EXPECT_LE(radius, 1 + 1e-6);
    EXPECT_NEAR(apart * radius, 0, 1e-6);  // float coordinates near 1 are 6e-8 apart
  }
}

TEST(Spirals, EachPointOncePerEpochAndHeldOutApart) {
  const auto dataset = make_dataset("spirals", "[data]\nsamples = 600\nheld_out = 0.25");
  ASSERT_EQ(dataset->samples(Split::training), 450);
  ASSERT_EQ(dataset->samples(Split::held_out), 150);
  const auto points = [&](Split split, int64_t first, int64_t count) {
    std::set<std::pair<float, float>> found;
    const Batch batch = dataset->batch(split, numbers(first, count));
    const float* data = batch.inputs.const_data_ptr<float>();
    for (int64_t i = 0; i < count; ++i) found.emplace(data[2 * i], data[2 * i + 1]);
    return found;
  };
  const auto first = points(Split::training, 0, 450);
  EXPECT_EQ(first.size(), 450u);
  EXPECT_EQ(points(Split::training, 450, 450), first);
  EXPECT_NE(points(Split::training, 0, 100), points(Split::training, 450, 100));
  const auto held = points(Split::held_out, 0, 150);
  EXPECT_EQ(held.size(), 150u);
  for (const auto& point : held) EXPECT_FALSE(first.contains(point));
}

TEST(Spirals, SeedAndNoiseMatter) {
  const auto inputs = [](const std::string& toml, uint64_t seed) {
    const Batch batch = make_dataset("spirals", toml, seed)->batch(Split::training, numbers(0, 20));
    const float* data = batch.inputs.const_data_ptr<float>();
    return std::vector<float>(data, data + 40);
  };
  EXPECT_EQ(inputs("", 1), inputs("", 1));
  EXPECT_NE(inputs("", 1), inputs("", 2));
  EXPECT_NE(inputs("", 1), inputs("[data]\nnoise = 0.0", 1));
}

TEST(Spirals, BaselineIsTheClassEntropy) {
  // 700 training points of 7 classes are 100 each: every held-out target costs log(707 / 101).
  const auto dataset = make_dataset("spirals", "[data]\nclasses = 7\nsamples = 1000\nheld_out = 0.3");
  EXPECT_NEAR(dataset->unigram_baseline(300), std::log(7.0), 1e-12);
  EXPECT_TRUE(std::isnan(make_dataset("spirals", "[data]\nheld_out = 0.0")->unigram_baseline(10)));
}

TEST(Spirals, SettingsThatCannotWork) {
  for (const std::string bad : {"classes = 1", "samples = 1", "noise = -1.0", "held_out = 1.0"}) {
    const auto error = error_of([&] { make_dataset("spirals", "[data]\n" + bad); });
    ASSERT_TRUE(error) << bad;
    EXPECT_EQ(error->code(), ExitCode::config);
  }
}

}  // namespace
}  // namespace interlock
