#include "launch/forecast/measured_costs.h"

#include <algorithm>

namespace interlock {

SimulationCosts measured_costs(const RunSummary& summary, const SimulationCosts& estimate) {
  SimulationCosts costs = estimate;
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
      // W and B walk the body for the input gradient too; where no I was seen, half of the walk is counted to each.
      const double walk = std::max(mean(Kind::weight_gradient), mean(Kind::backward));
      const double pass = mean(Kind::input_gradient);
      out.input_gradient = pass > 0 ? pass : walk / 2;
      out.weight_gradient = std::max(0.0, walk - out.input_gradient);
    }
  }
  return costs;
}

}  // namespace interlock
