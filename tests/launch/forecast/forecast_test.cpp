// What a run will hold, against numbers counted by hand; what a run measured, as costs.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launch/forecast/estimate.h"
#include "launch/forecast/measured_costs.h"
#include "launch/forecast/memory_footprint.h"
#include "launch/settings/parts.h"
#include "launch/settings/plans.h"
#include "models/model.h"

namespace interlock {
namespace {

// An mlp of 4 layers on points of a plane, cut in the middle.
constexpr const char* base = R"(
[model]
name = "mlp"
layers = 4
width = 8
[data]
name = "spirals"
[learning]
rule = "global"
[parallel]
stages = 2
partition = [2, 2]
[checkpoint]
every = 0
)";

struct Forecast {
  explicit Forecast(const std::vector<std::string>& overrides)
      : settings(read_settings(Config::from_text(base, overrides))),
        dataset(make_dataset(settings)),
        model(make_model(settings, *dataset)),
        partition(make_partition(settings, *model)),
        ranks(rank_footprints(settings, *model, partition)) {}

  // Weights and biases: features to width, two layers of width to width; two layers again, width to classes.
  double lower() const { return static_cast<double>(dataset->features() * 8 + 8 + 2 * (8 * 8 + 8)); }
  double upper() const { return static_cast<double>(2 * (8 * 8 + 8) + 8 * dataset->classes() + dataset->classes()); }

  RunSettings settings;
  std::shared_ptr<Dataset> dataset;
  std::shared_ptr<Model> model;
  std::vector<int> partition;
  std::vector<MemoryFootprint> ranks;
};

TEST(MemoryFootprintOfRanks, IsParametersGradientsAndTwoMomentsOfAdam) {
  const Forecast forecast({});
  ASSERT_EQ(forecast.ranks.size(), 2u);
  const double numbers[] = {forecast.lower(), forecast.upper()};
  for (int rank = 0; rank < 2; ++rank) {
    const MemoryFootprint& footprint = forecast.ranks[rank];
    EXPECT_EQ(footprint.parameters, 4 * numbers[rank]);
    EXPECT_EQ(footprint.gradients, 4 * numbers[rank]);
    EXPECT_EQ(footprint.optimizer, 8 * numbers[rank]);
    EXPECT_EQ(footprint.checkpoint, 0);
    EXPECT_EQ(footprint.sums, 0);
    EXPECT_GT(footprint.activations, 0);
  }
}

TEST(MemoryFootprintOfRanks, OfHalfBlocksAreWhatTheirHalvesHold) {
  const std::vector<std::string> encoder = {"model.name=roberta",
                                            "model.layers=2",
                                            "model.width=16",
                                            "model.feed_forward=40",
                                            "model.heads=2",
                                            "data.name=text",
                                            "data.paths=['/usr/include/c++']",
                                            "parallel.stages=4",
                                            "parallel.unit=half_block",
                                            "parallel.partition=[1,1,1,1]"};
  const Forecast forecast(encoder);
  ASSERT_EQ(forecast.ranks.size(), 4u);
  EXPECT_EQ(forecast.ranks[1].parameters, 4.0 * (2 * 16 * 40 + 40 + 16 + 2 * 16));
  EXPECT_EQ(forecast.ranks[2].parameters, 4.0 * (4 * (16 * 16 + 16) + 2 * 16));
  EXPECT_EQ(forecast.ranks[1].optimizer, 2 * forecast.ranks[1].parameters);
  std::vector<std::string> blocks = encoder;
  blocks.insert(blocks.end(), {"parallel.stages=2", "parallel.unit=block", "parallel.partition=[1,1]"});
  const Forecast whole(blocks);
  EXPECT_EQ(whole.ranks[0].parameters, forecast.ranks[0].parameters + forecast.ranks[1].parameters);
}

TEST(MemoryFootprintOfRanks, StagesOfARankAddUp) {
  const Forecast forecast({"parallel.ranks=1"});
  ASSERT_EQ(forecast.ranks.size(), 1u);
  EXPECT_EQ(forecast.ranks[0].parameters, 4 * (forecast.lower() + forecast.upper()));
}

TEST(MemoryFootprintOfRanks, ReplicasSumGradientsAndShareTheOptimizer) {
  const Forecast forecast({"parallel.replicas=2", "parallel.shard_optimizer=true", "run.precision=float64"});
  EXPECT_EQ(forecast.ranks[0].parameters, 8 * forecast.lower());
  EXPECT_EQ(forecast.ranks[0].optimizer, 8 * forecast.lower());  // two moments, half of each
  // Sums are under way when the last microbatch has gone: the other's part of the half that a rank adds up, 8 * 252 / 2
  // bytes at the least, does not reach what two microbatches of 8 samples and more hold before.
  EXPECT_EQ(forecast.ranks[0].sums, 0);
}

TEST(MemoryFootprintOfRanks, ACheckpointAfterTheLastStepTakesThePlaceOfMicrobatches) {
  const Forecast forecast({"checkpoint.every=5", "run.steps=5", "parallel.microbatch_size=1"});
  const MemoryFootprint& rank = forecast.ranks[1];
  ASSERT_LT(rank.activations, 12 * forecast.upper());
  EXPECT_EQ(rank.checkpoint + rank.activations, 12 * forecast.upper());
  const Forecast large({"checkpoint.every=5", "run.steps=5", "parallel.microbatch_size=64"});
  EXPECT_EQ(large.ranks[1].checkpoint, 0);
}

TEST(MemoryFootprintOfRanks, ReplicasStoreTheirOwnShareOfTheOptimizer) {
  const Forecast forecast({"parallel.replicas=2", "parallel.shard_optimizer=true", "checkpoint.every=5"});
  EXPECT_EQ(forecast.ranks[0].checkpoint, 4 * forecast.lower() + 8 * forecast.lower() / 2);
}

TEST(MemoryFootprintOfRanks, SumsCountWhereTheyExceedWhatMicrobatchesHold) {
  const std::vector<std::string> one_sample = {"parallel.replicas=2", "parallel.microbatches=1",
                                               "parallel.microbatch_size=1", "run.precision=float64"};
  const Forecast forecast(one_sample);
  // Rank 0 at the end of its pass: the gradient that it was taught by has arrived and goes with the pass, what it saved
  // is free; the sum stays. Its peak without is the pass itself.
  const MemoryFootprint& rank = forecast.ranks[0];
  EXPECT_EQ(rank.activations + rank.sums, 8 * forecast.lower() / 2 + 8 * 8);
}

TEST(MemoryFootprintOfRanks, Bfloat16KeepsACopyOfWhatTakesPartInProducts) {
  const Forecast forecast({"run.precision=bf16"});
  EXPECT_EQ(forecast.ranks[0].product_copies, 2 * forecast.lower());
  EXPECT_EQ(forecast.ranks[1].product_copies, 2 * forecast.upper());
  EXPECT_EQ(forecast.ranks[0].parameters, 4 * forecast.lower());
  EXPECT_EQ(Forecast({}).ranks[0].product_copies, 0);
}

TEST(MemoryFootprintOfRanks, FrozenParametersAreStoredAndNothingElse) {
  const Forecast forecast({"model.frozen=['mlp.input.*','mlp.layer.[01].*']", "checkpoint.every=5"});
  const MemoryFootprint& rank = forecast.ranks[0];
  EXPECT_EQ(rank.parameters, 4 * forecast.lower());
  EXPECT_EQ(rank.gradients, 0);
  EXPECT_EQ(rank.optimizer, 0);
  EXPECT_EQ(rank.checkpoint, 4 * forecast.lower());
  EXPECT_EQ(forecast.ranks[1].checkpoint, 12 * forecast.upper());
}

// A stage of which only the upper layer trains, and that passes nothing on, keeps nothing of the lower one.
TEST(MemoryFootprintOfRanks, BelowTheLowestLayerThatTrainsNothingIsKept) {
  const std::string one_size = "parallel.microbatch_size=64";
  const Forecast all({one_size}), upper({one_size, "model.frozen=['mlp.input.*','mlp.layer.0.*']"});
  const double samples = 64, features = static_cast<double>(all.dataset->features());
  const double kept_of_one = 4 * samples * (features + 8);  // inputs of the input layer and of layer 0
  const int in_flight = 2;
  // The gradient between the layers is not made either.
  EXPECT_EQ(all.ranks[0].activations - upper.ranks[0].activations, in_flight * kept_of_one + 4 * samples * 8);
}

TEST(MemoryFootprintOfRanks, TheFirstHolderOfReadoutCopiesStoresThem) {
  const std::vector<std::string> rule = {"learning.rule=local", "learning.head=shared_readout", "parallel.stages=3",
                                         "parallel.partition=[1,1,2]"};
  std::vector<std::string> stored = rule;
  stored.push_back("checkpoint.every=5");
  const Forecast without(rule), with(stored);
  const double copy = 4 * static_cast<double>(8 * with.dataset->classes() + with.dataset->classes());
  EXPECT_EQ(with.ranks[0].readout_copies, 2 * copy);  // in use, and to come
  EXPECT_EQ(with.ranks[0].checkpoint, 3 * with.ranks[0].parameters + 2 * copy);
  EXPECT_EQ(with.ranks[1].checkpoint, 3 * with.ranks[1].parameters);
  EXPECT_EQ(without.ranks[0].checkpoint, 0);
}

TEST(MemoryFootprintOfRanks, ACheckpointHoldsACopyOfParametersAndState) {
  const Forecast forecast({"checkpoint.every=5"});
  EXPECT_EQ(forecast.ranks[1].checkpoint, 12 * forecast.upper());
}

TEST(MeasuredCosts, AreMeansAndSplitTheWalkBack) {
  SimulationCosts estimate = SimulationCosts::unit(2);
  estimate.stages[0].message_bytes = 64;
  RunSummary summary;
  summary.ranks.resize(2);
  auto& lower = summary.ranks[0].costs[0];
  lower[static_cast<int>(Kind::forward)] = {3.0, 6};
  lower[static_cast<int>(Kind::input_gradient)] = {1.5, 6};
  lower[static_cast<int>(Kind::weight_gradient)] = {6.0, 6};
  auto& upper = summary.ranks[1].costs[1];
  upper[static_cast<int>(Kind::loss)] = {0.75, 3};
  upper[static_cast<int>(Kind::backward)] = {6.0, 3};
  PlanRequest request;
  request.shape = {.stages = 2, .ranks = 2};
  request.shape.placement = Placement::named("contiguous", 2, 2);
  request.rule = make_rule({.rule = "sum"}, 2);
  const SimulationCosts costs = measured_costs(summary, estimate, {{1, make_plan(request)}});
  EXPECT_EQ(costs.stages[0].forward, 0.5);
  EXPECT_EQ(costs.stages[0].input_gradient, 0.25);
  EXPECT_EQ(costs.stages[0].weight_gradient, 0.75);
  EXPECT_EQ(costs.stages[0].message_bytes, 64);
  // Without an I the walk of 2 seconds counts half to each.
  EXPECT_EQ(costs.stages[1].input_gradient, 1);
  EXPECT_EQ(costs.stages[1].weight_gradient, 1);
  EXPECT_EQ(costs.stages[1].loss, 0.25);
}

}  // namespace
}  // namespace interlock
