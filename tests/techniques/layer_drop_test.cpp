// The draws of LayerDrop: their shares, what they depend on, and what it refuses. (What a run learns with it is held
// against plain autograd in truth_test, that it is the same everywhere in conformance_test.)

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "parallel/technique/technique.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

constexpr int64_t draws = 10'000;

std::shared_ptr<const Technique> layer_drop(const std::string& options) {
  return read_techniques(Config::from_text("[[technique]]\nname = \"layer_drop\"\n" + options)).front();
}

// Occasions of a run with 8 microbatches per step.
Occasion occasion(int64_t number, uint64_t seed = 1) { return {seed, 1 + number / 8, number % 8}; }

// Of `draws` draws with probability p, how far the share may be from p: three standard deviations.
double three_sigma(double p) { return 3 * std::sqrt(p * (1 - p) / static_cast<double>(draws)); }

TEST(LayerDrop, KeepsTheSharesThatItIsAskedFor) {
  const auto technique = layer_drop("rate = [0.0, 0.2, 0.5, 0.9]");
  const double keep[] = {1.0, 0.8, 0.5, 0.1};
  for (int64_t layer = 0; layer < 4; ++layer) {
    int64_t kept = 0;
    for (int64_t i = 0; i < draws; ++i) kept += technique->runs({layer, 0, 4}, occasion(i));
    EXPECT_NEAR(static_cast<double>(kept) / draws, keep[layer], three_sigma(keep[layer])) << layer;
    EXPECT_DOUBLE_EQ(technique->share_of_runs(layer, 4), keep[layer]);
  }
}

// Independent draws agree as often as chance has it.
TEST(LayerDrop, DrawsAnewForEveryLayerMicrobatchStepAndSeed) {
  const auto technique = layer_drop("rate = 0.5");
  const auto agreement = [&](auto one, auto other) {
    int64_t alike = 0;
    for (int64_t i = 0; i < draws; ++i) alike += one(i) == other(i);
    return static_cast<double>(alike) / draws;
  };
  const auto at = [&](int64_t layer, int64_t step, int64_t microbatch, uint64_t seed) {
    return technique->runs({layer, 0, 8}, {seed, step, microbatch});
  };
  const auto base = [&](int64_t i) { return at(3, i, 2, 1); };
  EXPECT_NEAR(agreement(base, [&](int64_t i) { return at(4, i, 2, 1); }), 0.5, three_sigma(0.5));
  EXPECT_NEAR(agreement(base, [&](int64_t i) { return at(3, i, 3, 1); }), 0.5, three_sigma(0.5));
  EXPECT_NEAR(agreement(base, [&](int64_t i) { return at(3, i + 1, 2, 1); }), 0.5, three_sigma(0.5));
  EXPECT_NEAR(agreement(base, [&](int64_t i) { return at(3, i, 2, 2); }), 0.5, three_sigma(0.5));
  EXPECT_EQ(agreement(base, base), 1.0);
}

// The cut is nothing to a draw of its own.
TEST(LayerDrop, IndependentDrawsDoNotKnowTheCut) {
  const auto technique = layer_drop("rate = 0.3");
  for (int64_t i = 0; i < 1000; ++i)
    EXPECT_EQ(technique->runs({5, 4, 2}, occasion(i)), technique->runs({5, 0, 8}, occasion(i)));
}

TEST(LayerDrop, StratifiedKeepsAsManyInEveryStageAndTheSameShares) {
  const auto technique = layer_drop("rate = 0.4\nbalance = \"stratified\"");
  constexpr int64_t stages = 3, each = 4;  // 2.4 of a stage are expected: 2 or 3 survive
  std::vector<int64_t> kept_of(stages * each, 0);
  int64_t threes = 0, different = 0;
  for (int64_t i = 0; i < draws; ++i) {
    std::vector<std::vector<bool>> ran(stages);
    std::vector<int64_t> survivors(stages, 0);
    for (int64_t layer = 0; layer < stages * each; ++layer) {
      const bool runs = technique->runs({layer, layer / each * each, each}, occasion(i));
      ran[layer / each].push_back(runs);
      kept_of[layer] += runs;
      survivors[layer / each] += runs;
    }
    EXPECT_TRUE(survivors[0] == 2 || survivors[0] == 3) << survivors[0];
    EXPECT_THAT(survivors, testing::Each(survivors[0])) << i;
    threes += survivors[0] == 3;
    different += ran[0] != ran[1];
  }
  EXPECT_NEAR(static_cast<double>(threes) / draws, 0.4, three_sigma(0.4));
  for (size_t layer = 0; layer < kept_of.size(); ++layer)
    EXPECT_NEAR(static_cast<double>(kept_of[layer]) / draws, 0.6, three_sigma(0.6)) << layer;
  EXPECT_GT(different, draws / 2) << "all stages drop the same places";
}

// Rates of their own: a stage keeps as many as are expected, rounded one way or the other.
TEST(LayerDrop, StratifiedKeepsEachLayersOwnShare) {
  const auto technique = layer_drop("rate = [0.0, 0.9, 0.5, 0.25]\nbalance = \"stratified\"");
  const double keep[] = {1.0, 0.1, 0.5, 0.75};  // 2.35 in all
  std::vector<int64_t> kept_of(4, 0);
  for (int64_t i = 0; i < draws; ++i) {
    int64_t survivors = 0;
    for (int64_t layer = 0; layer < 4; ++layer) {
      const bool runs = technique->runs({layer, 0, 4}, occasion(i));
      kept_of[layer] += runs;
      survivors += runs;
    }
    EXPECT_TRUE(survivors == 2 || survivors == 3) << survivors;
  }
  for (int64_t layer = 0; layer < 4; ++layer)
    EXPECT_NEAR(static_cast<double>(kept_of[layer]) / draws, keep[layer], three_sigma(keep[layer])) << layer;
}

TEST(LayerDrop, WithoutARateNothingIsDropped) {
  for (const char* options : {"rate = 0", "rate = 0.0\nbalance = \"stratified\""}) {
    const auto technique = layer_drop(options);
    for (int64_t i = 0; i < draws; ++i) EXPECT_TRUE(technique->runs({i % 7, 0, 7}, occasion(i)));
  }
}

std::string refusal(const std::string& toml) {
  try {
    read_techniques(Config::from_text(toml));
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::config);
    return error.what();
  }
  ADD_FAILURE() << toml << " was not refused";
  return "";
}

TEST(LayerDrop, RefusesWhatIsNoRate) {
  const std::string head = "[[technique]]\nname = \"layer_drop\"\n";
  for (const char* rate : {"1.0", "-0.1", "nan", "[0.1, 2.0]"})
    EXPECT_THAT(refusal(head + "rate = " + rate + "\n"), testing::HasSubstr("technique[0].rate")) << rate;
  EXPECT_THAT(refusal(head + "balance = \"stratifed\"\n"), testing::HasSubstr("did you mean \"stratified\"?"));
}

TEST(TechniqueList, RefusesWhatItDoesNotKnowAndPairs) {
  EXPECT_THAT(refusal("[[technique]]\nname = \"layer_drp\"\n"), testing::HasSubstr("did you mean \"layer_drop\"?"));
  EXPECT_THAT(refusal("[[technique]]\nrate = 0.1\n"),
              testing::AllOf(testing::HasSubstr("technique[0].name: is missing"), testing::HasSubstr("layer_drop")));
  EXPECT_THAT(refusal("[[technique]]\nname = \"layer_drop\"\n[[technique]]\nname = \"layer_drop\"\n"),
              testing::HasSubstr("stands twice"));
  EXPECT_TRUE(read_techniques(Config::from_text("")).empty());
}

}  // namespace
}  // namespace interlock
