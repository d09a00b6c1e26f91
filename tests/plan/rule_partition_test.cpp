// Cuts for a rule against all cuts, each worth what a simulated plan of it keeps its ranks busy for.

#include "parallel/plan/rule_partition.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <random>

#include "parallel/plan/partition.h"
#include "parallel/plan/plan.h"
#include "parallel/plan/simulate.h"
#include "runtime/core/error.h"
#include "tests/plan/all_cuts.h"

namespace interlock {
namespace {

// Of one stage: whole numbers, so that sums are exact.
StageCosts costs_of(const std::vector<Costs>& units, int begin, int end, const Costs& head, const StageFlow& flow) {
  StageCosts costs{.forward = 0, .input_gradient = 0, .weight_gradient = 0};
  costs.loss = head.forward_flops + head.input_gradient_flops + head.weight_gradient_flops;
  bool walked = !flow.outgoing.empty();
  for (int unit = begin; unit < end; ++unit) {
    walked = walked || units[unit].trained() > 0;
    costs.forward += units[unit].forward_flops;
    costs.weight_gradient += units[unit].weight_gradient_flops;
    if (walked) costs.input_gradient += units[unit].input_gradient_flops;
  }
  return costs;
}

// What every stage is busy for with one microbatch under all rules.
std::vector<double> busy(const RulePartition& given, const Cut& cut) {
  const int stages = static_cast<int>(cut.size());
  std::vector<int> untrained, begin(stages + 1, 0);
  std::partial_sum(cut.begin(), cut.end(), begin.begin() + 1);
  for (int stage = 0; stage < stages; ++stage) {
    const auto trains = [](const Costs& unit) { return unit.trained() > 0; };
    if (std::none_of(given.units.begin() + begin[stage], given.units.begin() + begin[stage + 1], trains))
      untrained.push_back(stage);
  }
  std::vector<double> all(stages, 0.0);
  for (RuleRequest rule : given.rules) {
    rule.untrained = untrained;
    PlanRequest request;
    request.shape = {.stages = stages, .ranks = stages, .replicas = 1, .microbatches = 1};
    request.shape.placement = Placement::named("contiguous", stages, stages);
    request.rule = make_rule(rule, stages);
    request.heads = given.heads;
    const Plan plan = make_plan(request);
    SimulationCosts costs;
    for (int stage = 0; stage < stages; ++stage)
      costs.stages.push_back(costs_of(given.units, begin[stage], begin[stage + 1],
                                      stage + 1 == stages ? given.readout : given.heads_above[begin[stage + 1] - 1],
                                      plan.flows.stages[stage]));
    const Simulation simulation = simulate(plan, costs);
    for (int stage = 0; stage < stages; ++stage)
      all[stage] += std::round((1 - simulation.idle_share_of_rank[stage]) * simulation.step);
  }
  return all;
}

std::pair<double, double> largest_and_squares(const std::vector<double>& stages) {
  return {*std::max_element(stages.begin(), stages.end()),
          std::inner_product(stages.begin(), stages.end(), stages.begin(), 0.0)};
}

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  int below(int bound) { return static_cast<int>(engine_() % static_cast<unsigned>(bound)); }
  bool one_in(int bound) { return below(bound) == 0; }

  Costs costs(bool frozen) {
    Costs costs{.forward_flops = 1.0 + below(9), .input_gradient_flops = 1.0 + below(9), .parameters = 10};
    if (frozen) costs.frozen = 10;
    costs.weight_gradient_flops = frozen ? 0.0 : 1.0 + below(9);
    return costs;
  }

  RuleRequest rule(int stages) {
    static const std::vector<std::string> names = {"local",   "furthest",         "sum",   "global",
                                                   "chunked", "deep_supervision", "matrix"};
    RuleRequest request{.rule = names[below(7)], .horizon = 1 + below(stages), .window = 1 + below(stages)};
    request.matrix.assign(stages, std::vector<double>(stages, 0.0));
    for (int row = 0; row < stages; ++row) {
      for (int loss = row; loss < stages; ++loss) request.matrix[row][loss] = below(3);
      request.matrix[row][row + below(stages - row)] = 1;
    }
    if (request.rule != "matrix" && one_in(4)) request.frozen = {below(stages)};
    return request;
  }

  RulePartition partition(int units, int stages) {
    RulePartition given{.units = {}, .readout = costs(false), .heads_above = {}, .rules = {rule(stages)}};
    if (one_in(3)) given.rules.push_back(rule(stages));
    if (one_in(4)) given.heads = HeadPolicy::all;
    const int lower = one_in(2) ? 0 : below(units + 1);  // frozen units at the bottom, and anywhere
    const bool anywhere = one_in(3);
    for (int unit = 0; unit < units; ++unit) given.units.push_back(costs(unit < lower || (anywhere && one_in(2))));
    for (int unit = 0; unit < units; ++unit) given.heads_above.push_back(costs(false));
    return given;
  }

 private:
  std::mt19937 engine_;
};

TEST(RulePartition, IsTheBestOfAllCuts) {
  Random random(5);
  for (int round = 0; round < 400; ++round) {
    const int units = 1 + random.below(8), stages = 1 + random.below(std::min(units, 5));
    const RulePartition given = random.partition(units, stages);
    std::pair<double, double> best{1e300, 1e300};
    visit_cuts(units, stages, [&](const Cut& cut) { best = std::min(best, largest_and_squares(busy(given, cut))); });
    const Cut ours = partition_for_rule(given, stages);
    ASSERT_NO_THROW(check_partition(ours, units, stages));
    ASSERT_EQ(largest_and_squares(busy(given, ours)), best) << round << " " << given.rules.front().rule;
  }
}

constexpr Costs block{.forward_flops = 4, .input_gradient_flops = 4, .weight_gradient_flops = 4, .parameters = 1};
constexpr Costs head{.forward_flops = 4, .input_gradient_flops = 4, .weight_gradient_flops = 4, .parameters = 1};

Cut cut_of(const RuleRequest& rule, const std::vector<Costs>& units, const Costs& readout, const Costs& local) {
  return partition_for_rule(
      {.units = units, .readout = readout, .heads_above = std::vector<Costs>(units.size(), local), .rules = {rule}}, 4);
}

// Without heads and streams of its own, a stage works what "balanced" says: global learning keeps that cut.
TEST(RulePartition, OfGlobalLearningIsTheBalancedOne) {
  const std::vector<Costs> units(13, block);
  for (const Costs& readout : {Costs{}, head, Costs{.forward_flops = 30}})
    EXPECT_EQ(cut_of({.rule = "global"}, units, readout, head), balanced_partition(units, readout, 4));
}

TEST(RulePartition, MovesBlocksAwayFromHeadsAndStreams) {
  // A head costs as much as a block: four stages with one each share 12 blocks and 4 heads, 4 each.
  EXPECT_EQ(cut_of({.rule = "local"}, std::vector<Costs>(12, block), head, head), (Cut{3, 3, 3, 3}));
  // Stages 1 and 2 pass on the stream of their own loss and learn from another: 16 a block. Stage 0 passes nothing on,
  // stage 3 passes on what it learns from: 12 a block.
  EXPECT_EQ(cut_of({.rule = "furthest", .horizon = 2}, std::vector<Costs>(14, block), {}, {}), (Cut{4, 3, 3, 4}));
}

TEST(RulePartition, GivesFrozenStagesMoreBlocks) {
  std::vector<Costs> units(16, block);
  for (int unit = 0; unit < 8; ++unit) units[unit].frozen = 1, units[unit].weight_gradient_flops = 0;
  // A frozen block below all that train is run forward alone: 4 of 12. {8, 3, 3, 2} would be less even.
  EXPECT_EQ(cut_of({.rule = "global"}, units, {}, {}), (Cut{7, 3, 3, 3}));
}

TEST(RulePartition, RefusesMoreStagesThanUnits) {
  const RulePartition given{.units = {block, block}, .readout = {}, .heads_above = {{}}, .rules = {{.rule = "local"}}};
  try {
    partition_for_rule(given, 3, "half blocks");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("2 half blocks"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace interlock
