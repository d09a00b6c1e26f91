// A sweep over numbers of ranks: what ranks are shared out to, and times against formulas.
#include "launch/forecast/scaling.h"

#include <gmock/gmock.h>

#include "launch/settings/parts.h"
#include "models/model.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Four stages on four ranks with 8 microbatches, clipping off: no step waits for its end.
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
stages = 4
microbatches = 8
[optimizer]
clip = 0.0
)";

constexpr double latency = 0.5, per_byte = 1e-3;

// Every stage takes a second for a forward and two for both ways back, heads, updates and messages none; bytes cost
// between replicas.
SimulationCosts made_up(const RunSettings& run, const std::vector<int>&, const Flows&) {
  SimulationCosts costs = SimulationCosts::unit(run.parallel.shape.stages);
  costs.seconds_per_byte = per_byte;
  costs.latency = 0;
  return costs;
}
SimulationCosts made_up_with_latency(const RunSettings& run, const std::vector<int>& cut, const Flows& flows) {
  SimulationCosts costs = made_up(run, cut, flows);
  costs.latency = latency;
  return costs;
}

std::vector<ScalingPoint> swept(const std::vector<int>& ranks, const CostsOf& costs,
                                const std::vector<std::string>& overrides = {}) {
  const RunSettings settings = read_settings(Config::from_text(base, overrides));
  return scaling_of(settings, *make_model(settings, *make_dataset(settings)), ranks, costs);
}

const ScalingPoint& point(const std::vector<ScalingPoint>& points, Scaling scaling, const std::string& rule,
                          int ranks) {
  for (const ScalingPoint& each : points)
    if (each.scaling == scaling && each.rule == rule && each.ranks == ranks) return each;
  ADD_FAILURE() << rule << " on " << ranks << " ranks is missing";
  return points.front();
}

TEST(Scaling, RanksShareTheStagesAndThenThereAreReplicas) {
  const auto points = swept({1, 2, 4, 6, 8, 32}, made_up);
  const ScalingPoint& weak = point(points, Scaling::weak, "local", 8);
  EXPECT_EQ(weak.pipeline, 4);
  EXPECT_EQ(weak.replicas, 2);
  EXPECT_EQ(weak.microbatches, 8);
  EXPECT_EQ(point(points, Scaling::weak, "local", 2).microbatches, 4);
  EXPECT_EQ(point(points, Scaling::strong, "local", 2).microbatches, 8);
  EXPECT_EQ(point(points, Scaling::strong, "local", 8).microbatches, 4);
  EXPECT_EQ(point(points, Scaling::strong, "local", 32).microbatches, 1);
  EXPECT_GT(point(swept({3}, made_up), Scaling::strong, "local", 3).step, 8 * 2 * 3 - 1);  // a rank has two stages
  EXPECT_THAT(point(points, Scaling::weak, "local", 6).why_not, HasSubstr("no multiple of the 4 ranks"));
  EXPECT_THAT(point(swept({64}, made_up), Scaling::strong, "local", 64).why_not,
              HasSubstr("8 microbatches do not share out to 16 replicas"));
  EXPECT_THAT(point(swept({1, 2}, made_up, {"parallel.microbatches=1"}), Scaling::weak, "local", 2).why_not,
              HasSubstr("no whole number on 2"));
}

// A stage's microbatch is 3 s of work, since W walks the body too: a rank alone has 4 stages.
TEST(Scaling, LocalLearningWithoutMessagesScalesWithItsRanks) {
  const auto points = swept({1, 2, 4}, made_up);
  EXPECT_DOUBLE_EQ(point(points, Scaling::strong, "local", 1).step, 8 * 4 * 3);
  for (const int ranks : {1, 2, 4}) {
    EXPECT_NEAR(point(points, Scaling::strong, "local", ranks).efficiency, 1, 1e-9) << ranks;
    EXPECT_NEAR(point(points, Scaling::weak, "local", ranks).efficiency, 1, 1e-9) << ranks;
  }
}

TEST(Scaling, AnEfficiencyIsOfTheSameWayOfLearningOnOneRank) {
  for (const ScalingPoint& each : swept({1, 2, 4, 8}, made_up_with_latency)) {
    if (each.ranks == 1 && each.scaling == Scaling::strong) {
      EXPECT_NEAR(each.efficiency, 1, 1e-9) << each.rule;
    }
    EXPECT_LE(each.efficiency, 1 + 1e-9) << each.rule << " on " << each.ranks;
    EXPECT_FALSE(each.schedule.empty());
  }
}

// A ring of r replicas: 2 (r - 1) messages of an r-th of the gradients (Patarasuk and Yuan, 2009).
TEST(Scaling, GradientsAreSummedInARing) {
  const auto points = swept({4, 8, 16}, made_up_with_latency);
  const ScalingPoint& one = point(points, Scaling::weak, "local", 4);
  EXPECT_EQ(one.sum, 0);
  // The first stage: features to a width of 8, a layer of that width, and its head, with biases, in float32.
  const RunSettings settings = read_settings(Config::from_text(base, {}));
  const auto dataset = make_dataset(settings);
  const auto classes = static_cast<double>(dataset->classes());
  const double bytes = 4 * (static_cast<double>(dataset->features()) * 8 + 8 + 8 * 8 + 8 + 8 * classes + classes);
  for (const int replicas : {2, 4}) {
    const ScalingPoint& more = point(points, Scaling::weak, "local", 4 * replicas);
    const auto ring = [&](double sent) { return 2 * (replicas - 1) * (latency + sent / replicas * per_byte); };
    EXPECT_GE(more.sum, ring(bytes)) << replicas;
    EXPECT_LE(more.sum, ring(bytes + 6 * 64)) << replicas;  // six tensors, each from a multiple of 64 bytes on
    EXPECT_DOUBLE_EQ(more.step, one.step + more.sum);
  }
}

TEST(Scaling, RulesAreNamedOnce) {
  std::vector<std::string> rules;
  for (const ScalingPoint& each : swept({4}, made_up, {"learning.rule=furthest"}))
    if (each.scaling == Scaling::weak) rules.push_back(each.rule);
  EXPECT_THAT(rules, ElementsAre("furthest(2)", "local", "sum(2)", "global"));
}

// What the config says of schedules holds in a sweep: GPipe keeps all microbatches, 1F1B has as many steps of time.
TEST(Scaling, TheConfigsScheduleIsTaken) {
  const auto fastest = swept({4}, made_up);
  for (const char* name : {"wavefront", "gpipe"}) {
    const auto points = swept({1, 4, 8}, made_up, {message("parallel.schedule=", name)});
    for (const ScalingPoint& each : points) EXPECT_EQ(each.schedule, name) << each.rule << " on " << each.ranks;
    // (m + K - 1) x 3 units, as the textbook has it (Huang et al., 2019): nothing is put off.
    EXPECT_DOUBLE_EQ(point(points, Scaling::strong, "global", 4).step, (8 + 3) * 3.0);
    // Of one rank's own fastest, and not of one under the same schedule.
    EXPECT_NEAR(point(points, Scaling::strong, "global", 4).efficiency, 8.0 / 11, 1e-9);
  }
  EXPECT_LT(point(fastest, Scaling::strong, "global", 4).step, (8 + 3) * 3.0);
}

TEST(Scaling, ASchedulesOwnPlacementIsKept) {
  const auto points = swept({1, 2, 4}, made_up, {"parallel.schedule=zbv", "parallel.placement=v", "parallel.ranks=2"});
  EXPECT_EQ(point(points, Scaling::strong, "global", 2).schedule, "zbv");
  EXPECT_EQ(point(points, Scaling::strong, "global", 4).schedule, "zbv");  // two replicas
  EXPECT_THAT(point(points, Scaling::strong, "global", 1).why_not, HasSubstr("parallel.schedule = \"zbv\""));
}

TEST(Scaling, TheConfigsMicrobatchesInFlightAreTheMost) {
  const auto free = swept({4}, made_up, {"parallel.schedule=zero_bubble"}),
             limited = swept({4}, made_up, {"parallel.schedule=zero_bubble", "parallel.in_flight=1"});
  // One at a time: each goes up and down the pipeline before the next begins.
  EXPECT_GE(point(limited, Scaling::strong, "global", 4).step, 8 * 4 * 2);
  EXPECT_LT(point(free, Scaling::strong, "global", 4).step, (8 + 3) * 3.0);
}

// 2 MiB per stage and microbatch alive: four stages on one rank exceed 7, one stage does not.
TEST(Scaling, TheConfigsMemoryIsTheLimit) {
  const auto heavy = [](const RunSettings& run, const std::vector<int>& cut, const Flows& flows) {
    SimulationCosts costs = made_up(run, cut, flows);
    for (StageCosts& stage : costs.stages) stage.activation_bytes = 2 << 20;
    return costs;
  };
  const auto points = swept({1, 4}, heavy, {"parallel.memory_mib=7"});
  EXPECT_THAT(point(points, Scaling::strong, "global", 1).why_not, HasSubstr("parallel.memory_mib = 7: the least"));
  const ScalingPoint& four = point(points, Scaling::strong, "global", 4);
  EXPECT_TRUE(four.why_not.empty()) << four.why_not;
  EXPECT_GT(four.efficiency, 0);                                         // of one rank, free of the limit
  EXPECT_THROW(swept({1, 4}, heavy, {"parallel.memory_mib=1"}), Error);  // nothing is left to tell
}

TEST(Scaling, Ranks) {
  EXPECT_THAT(read_ranks("1,2,4"), ElementsAre(1, 2, 4));
  EXPECT_THAT(read_ranks("1,2,4,...,32"), ElementsAre(1, 2, 4, 8, 16, 32));
  EXPECT_THAT(read_ranks("2,6,10,...,20"), ElementsAre(2, 6, 10, 14, 18, 20));
  EXPECT_THAT(read_ranks("3"), ElementsAre(3));
  for (const char* wrong : {"", "0", "2,1", "1,x", "...,4", "1,...,4", "1,2,...", "1,2,...,1", "1,,2", "99999999999"}) {
    try {
      read_ranks(wrong);
      ADD_FAILURE() << wrong << " was read";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::usage);
      EXPECT_THAT(error.what(), HasSubstr("1,2,4,...,1024"));
    }
  }
}

}  // namespace
}  // namespace interlock
