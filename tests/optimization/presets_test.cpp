// What presets supply, that the file wins, and what they refuse.
#include <gtest/gtest.h>

#include "runtime/optimization/learning_rate.h"
#include "runtime/optimization/presets.h"
#include "tests/optimization/support.h"

namespace interlock {
namespace {

using namespace tests;

Section section_of(const std::string& lines) { return Config::from_text("[optimizer]\n" + lines).section("optimizer"); }

TEST(Presets, PeakAndWarmUpAsPublished) {
  const std::vector<std::tuple<std::string, double, int64_t>> published = {
      {"preset = \"roberta_base\"", 6e-4, 24000},
      {"preset = \"roberta_large\"", 4e-4, 30000},
      {"preset = \"roberta_small\"", 5e-4, 10000},
      {"name = \"lamb\"\npreset = \"lamb\"", 6e-3, 2000},
      {"preset = \"none\"", 1e-3, 10},
      {"", 1e-3, 10},
  };
  for (const auto& [lines, peak, warmup] : published) {
    const auto config = LearningRate::Config::from(section_of(lines), 500000);
    EXPECT_EQ(config.peak, peak) << lines;
    EXPECT_EQ(config.warmup_steps, warmup) << lines;
    EXPECT_EQ(config.decay, "linear") << lines;
  }
}

TEST(Presets, SupplyMomentsDecayAndClipping) {
  const auto roberta = section_of("preset = \"roberta_base\"");
  EXPECT_EQ(preset_number(roberta, "beta2", 0.5), 0.98);
  EXPECT_EQ(preset_number(roberta, "epsilon", 0.5), 1e-6);
  EXPECT_EQ(preset_number(roberta, "weight_decay", 0.5), 0.01);
  EXPECT_EQ(preset_number(roberta, "clip", 1.0), 0.0);
  EXPECT_EQ(preset_number(section_of("name = \"lamb\"\npreset = \"lamb\""), "clip", 0.5), 1.0);
  EXPECT_EQ(preset_number(roberta, "trust_clip", 0.5), 0.5);  // a key that it does not speak of
  EXPECT_EQ(preset_number(section_of(""), "beta2", 0.5), 0.5);
}

TEST(Presets, AnOptimizerTakesThemAndTheFileWins) {
  const auto config = Config::from_text("[optimizer]\npreset = \"roberta_base\"\nlearning_rate = 0.5\nbeta1 = 0.7\n");
  const auto section = config.section("optimizer");
  Optimizers::instance().create("optimizer", "adamw", section);
  EXPECT_EQ(LearningRate::Config::from(section, 100000).peak, 0.5);
  config.reject_unknown();
  const Config resolved = Config::from_text(config.resolved());
  const auto read = resolved.section("optimizer");
  EXPECT_EQ(read.number("learning_rate", 0), 0.5);
  EXPECT_EQ(read.number("beta1", 0), 0.7);
  EXPECT_EQ(read.number("beta2", 0), 0.98);
  EXPECT_EQ(read.number("epsilon", 0), 1e-6);
  EXPECT_EQ(read.integer("warmup_steps", 0), 24000);
}

TEST(Presets, RefuseAnUnknownNameAndAnotherOptimizer) {
  const auto refusal = [](const std::string& lines) -> std::string {
    try {
      preset_number(section_of(lines), "beta1", 0);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::config);
      return error.what();
    }
    return "accepted";
  };
  EXPECT_NE(refusal("preset = \"roberta_bas\"").find("roberta_base"), std::string::npos);
  EXPECT_NE(refusal("preset = \"lamb\"").find("adamw"), std::string::npos);
  EXPECT_NE(refusal("name = \"lamb\"\npreset = \"roberta_base\"").find("lamb"), std::string::npos);
}

}  // namespace
}  // namespace interlock
