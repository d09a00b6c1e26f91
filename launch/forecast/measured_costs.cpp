#include "launch/forecast/measured_costs.h"

#include <algorithm>

#include "parallel/plan/deferred_weights.h"

namespace interlock {
namespace {

// Of the W of each stage that were performed, how many were deferred, from 0 to 1.
std::vector<double> deferred_share(const RunSummary& summary, const std::vector<TrainerSettings::RulePlan>& plans) {
  const size_t stages = static_cast<size_t>(plans.front().plan.shape.stages);
  std::vector<double> deferred(stages, 0.0), all(stages, 0.0);
  for (size_t i = 0; i < plans.size(); ++i) {
    const int64_t begin = std::max(plans[i].at_step, summary.first_step);
    const int64_t end = i + 1 < plans.size() ? std::min(plans[i + 1].at_step, summary.steps + 1) : summary.steps + 1;
    if (begin >= end) continue;
    const std::vector<WeightPasses> passes = weight_passes(plans[i].plan);
    for (size_t stage = 0; stage < stages; ++stage) {
      all[stage] += static_cast<double>((end - begin) * passes[stage].all);
      deferred[stage] += static_cast<double>((end - begin) * passes[stage].deferred);
    }
  }
  for (size_t stage = 0; stage < stages; ++stage)
    if (all[stage] > 0) deferred[stage] /= all[stage];
  return deferred;
}

}  // namespace

SimulationCosts measured_costs(const RunSummary& summary, const SimulationCosts& estimate,
                               const std::vector<TrainerSettings::RulePlan>& plans) {
  SimulationCosts costs = estimate;
  const std::vector<double> deferred = deferred_share(summary, plans);
  for (const RankSummary& rank : summary.ranks) {
    for (const auto& [stage, kinds] : rank.costs) {
      const auto mean = [&](Kind kind) {
        const MeasuredCost& cost = kinds[static_cast<int>(kind)];
        return cost.times > 0 ? cost.seconds / static_cast<double>(cost.times) : 0.0;
      };
      StageCosts& out = costs.stages[stage];
      out.forward = mean(Kind::forward);
      out.loss = mean(Kind::loss);
      out.update = mean(Kind::update);
      // W and B walk the body for the input gradient too, but for a deferred W, whose walk I did; where no I was seen,
      // half of the walk is counted to each.
      const double pass = mean(Kind::input_gradient);
      const double walk = std::max(mean(Kind::weight_gradient) + deferred[stage] * pass, mean(Kind::backward));
      out.input_gradient = pass > 0 ? pass : walk / 2;
      out.weight_gradient = std::max(0.0, walk - out.input_gradient);
    }
  }
  return costs;
}

}  // namespace interlock
