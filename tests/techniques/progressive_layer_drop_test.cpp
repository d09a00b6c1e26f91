// Progressive layer dropping: its schedule and shares against the formula, what it divides by, how it is cut, and what
// it refuses. (What a run learns with it is held against plain autograd in truth_test.)

#include <ATen/ops/ones.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "models/insertion.h"
#include "models/model.h"
#include "tests/equivalence/pieces_of_a_run.h"

namespace interlock {
namespace {

using testing::HasSubstr;

constexpr int64_t draws = 10'000, layers = 12;

std::shared_ptr<const Technique> progressive(const std::string& options) {
  return read_techniques(Config::from_text("[[technique]]\nname = \"progressive_layer_drop\"\n" + options)).front();
}

double theta_of(const Technique& technique, int64_t step) {
  const std::vector<LayerPlace> none;
  return technique.of_step({1, step, 1, none}).at("theta");
}

// Zhang and He's schedule with its published constants: 0.684 after a thousand steps, 0.503 after five thousand.
TEST(ProgressiveLayerDrop, FollowsThePublishedSchedule) {
  const auto technique = progressive("");
  EXPECT_EQ(theta_of(*technique, 1), 1);
  EXPECT_NEAR(theta_of(*technique, 1001), 0.684, 5e-4);
  EXPECT_NEAR(theta_of(*technique, 5001), 0.503, 5e-4);
}

// p = 1 - (l / L)(1 - theta), l from 1 on; E = L - (1 - theta)(L + 1) / 2: 8.75 of 12 layers at theta = 0.5.
TEST(ProgressiveLayerDrop, KeepsEachLayerAsOftenAsTheFormula) {
  for (const char* balance : {"independent", "stratified"}) {
    const auto technique = progressive(std::string("gamma = 100.0\nbalance = \"") + balance + "\"");
    double depth = 0;
    for (int64_t layer = 0; layer < layers; ++layer) {
      const double p = 1 - static_cast<double>(layer + 1) / layers * 0.5;
      EXPECT_DOUBLE_EQ(technique->share_of_runs(layer, layers), p);
      // Twenty-four shares are looked at: one in 600 such tests has one of them beyond four deviations by chance.
      constexpr int64_t many = 4 * draws;
      int64_t kept = 0;
      for (int64_t i = 0; i < many; ++i)
        kept += technique->runs({layer, layer / 3 * 3, 3, layers}, {1, 100 + i / 8, i % 8});
      EXPECT_NEAR(static_cast<double>(kept) / many, p, 4 * std::sqrt(p * (1 - p) / many)) << balance << layer;
      depth += technique->share_of_runs(layer, layers);
    }
    EXPECT_DOUBLE_EQ(depth, 8.75);
  }
}

TEST(ProgressiveLayerDrop, LeavesNothingOutInTheFirstStep) {
  const auto technique = progressive("gamma = 100.0");
  for (int64_t i = 0; i < 1000; ++i) EXPECT_TRUE(technique->runs({i % layers, 0, layers, layers}, {1, 1, i}));
}

// What runs is divided by the very probability that it runs with, so that the mean is the value itself.
TEST(ProgressiveLayerDrop, KeepsTheMeanOfWhatASubLayerAdds) {
  const auto technique = progressive("gamma = 0.5\ntheta = 0.3");
  InsertionSite site;
  site.kind = InsertionSite::Kind::sub_layer;
  site.layer = 3;
  site.outputs = 4;
  const auto insertion = technique->insertion(site, {Precision::float64, 4});
  const at::Tensor y = at::ones({4}, at::kDouble);
  constexpr int64_t step = 4;
  double mean = 0;
  for (int64_t microbatch = 0; microbatch < draws; ++microbatch)
    if (technique->runs({3, 0, 4, 4}, {1, step, microbatch}))
      mean += insertion->after({}, y, {}, {.step = step})[0].item<double>() / draws;
  const double p = 1 - (1 - ((1 - 0.3) * std::exp(-0.5 * 3) + 0.3));
  EXPECT_NEAR(mean, 1, 3 * std::sqrt((1 - p) / p / draws));
  EXPECT_TRUE(insertion->after({}, y, {}, {.step = step, .training = false}).is_same(y)) << "evaluation";
}

// Stages of equal expected load: at theta = 0.5 four stages of three layers expect 2.75, 2.38, 2.00 and 1.63 of them,
// and two, three, three and four 1.88, 2.50, 2.13 and 2.25.
TEST(ProgressiveLayerDrop, StagesAreCutByTheirExpectedLoad) {
  const Overrides wide{"model.norm=pre", "model.layers=12", "model.width=64", "model.feed_forward=256"};
  const auto cut = [&](Overrides overrides) {
    const RunSettings settings = settings_for_test(overrides);
    return make_partition(settings, *make_model(settings, *make_dataset(settings)));
  };
  EXPECT_EQ(cut(wide), (std::vector{3, 3, 3, 3}));
  Overrides dropping = wide;
  dropping.emplace_back("technique=[{name='progressive_layer_drop'}]");
  EXPECT_EQ(cut(dropping), (std::vector{2, 3, 3, 4}));
}

// With so large a gamma that layers are left out from the second step on: wherever it runs, and after a resume.
TEST(ProgressiveLayerDrop, LearnsTheSameWhereverItRuns) {
  const Overrides dropping{"model.norm=pre", "model.layers=8", "learning.rule=sum",
                           "technique=[{name='progressive_layer_drop', theta=0.2, gamma=10.0}]"};
  const auto run = [&](const Overrides& more) {
    Overrides all = dropping;
    all.insert(all.end(), more.begin(), more.end());
    return run_on_loopback(settings_for_test(all));
  };
  const TestRun four = run({"parallel.ranks=4"});
  EXPECT_EQ(four.metrics.front().techniques.at("progressive_layer_drop.layers_run"), 1);
  EXPECT_LT(four.metrics.back().techniques.at("progressive_layer_drop.layers_run"), 0.8);
  EXPECT_EQ(run({"parallel.ranks=1", "run.recompute=block"}).digest, four.digest);
  EXPECT_EQ(run({"parallel.ranks=2", "parallel.schedule=zero_bubble"}).digest, four.digest);
  const std::string folder = new_folder();
  go_on(folder, dropping, 3);
  EXPECT_EQ(go_on(folder, dropping, 0).digest, digest_of_one_piece(dropping));
}

std::string refusal(const Overrides& overrides) {
  try {
    settings_for_test(overrides);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::config);
    return error.what();
  }
  ADD_FAILURE() << "not refused";
  return "";
}

TEST(ProgressiveLayerDrop, RefusesWhatItCannotDo) {
  const std::string table = "technique=[{name='progressive_layer_drop'";
  EXPECT_THAT(refusal({table + "}]"}),
              testing::AllOf(HasSubstr("pre-norm"), HasSubstr("model.norm"), HasSubstr("take that back")));
  EXPECT_THAT(refusal({"model.name=mlp", table + "}]"}), HasSubstr("residual"));
  for (const char* option : {"theta=0.0", "theta=1.5", "theta=-0.1"})
    EXPECT_THAT(refusal({"model.norm=pre", table + ", " + option + "}]"}), HasSubstr("technique[0].theta")) << option;
  for (const char* option : {"gamma=0.0", "gamma=-1.0"})
    EXPECT_THAT(refusal({"model.norm=pre", table + ", " + option + "}]"}), HasSubstr("technique[0].gamma")) << option;
  EXPECT_THAT(refusal({"model.norm=pre", table + "}, {name='layer_drop'}]"}),
              HasSubstr("both choose the layers that a microbatch passes through"));
}

}  // namespace
}  // namespace interlock
