#pragma once
// The same runs under equal budgets: a curve of losses by steps, read at as many steps as a budget pays for.

#include <cstddef>
#include <optional>
#include <vector>

namespace interlock {

struct CurvePoint {
  double step = 0, loss = 0;
};
using LossCurve = std::vector<CurvePoint>;  // ascending steps

// Between the two nearest points; the last one beyond the end; none before the first.
std::optional<double> loss_at(const LossCurve& curve, double step);
// The first step, between two points, where the curve is at `target` or below; none where it never is.
std::optional<double> step_reaching(const LossCurve& curve, double target);

// What an index of something costs, and the loss that it comes to.
struct CostAndLoss {
  size_t index = 0;
  double cost = 0, loss = 0;
};
// Those to which none is better in both (the Pareto front), the cheapest first. Of two alike in both the first one
// stays.
std::vector<CostAndLoss> front_of(std::vector<CostAndLoss> points);

}  // namespace interlock
