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

TEST(MemoryFootprintOfRanks, StagesOfARankAddUp) {
  const Forecast forecast({"parallel.ranks=1"});
  ASSERT_EQ(forecast.ranks.size(), 1u);
  EXPECT_EQ(forecast.ranks[0].parameters, 4 * (forecast.lower() + forecast.upper()));
}

TEST(MemoryFootprintOfRanks, ReplicasSumGradientsAndShareTheOptimizer) {
  const Forecast forecast({"parallel.replicas=2", "parallel.shard_optimizer=true", "run.precision=float64"});
  EXPECT_EQ(forecast.ranks[0].parameters, 8 * forecast.lower());
  EXPECT_EQ(forecast.ranks[0].optimizer, 8 * forecast.lower());  // two moments, half of each
  EXPECT_EQ(forecast.ranks[0].sums, 8 * forecast.lower() / 2);   // the other's part of the half that it adds up
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
