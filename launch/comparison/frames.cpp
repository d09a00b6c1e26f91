#include "launch/comparison/frames.h"

#include <algorithm>
#include <tuple>

namespace interlock {

std::optional<double> loss_at(const LossCurve& curve, double step) {
  if (curve.empty() || step < curve.front().step) return std::nullopt;
  for (size_t i = 1; i < curve.size(); ++i) {
    if (step > curve[i].step) continue;
    const double share = (step - curve[i - 1].step) / (curve[i].step - curve[i - 1].step);
    return curve[i - 1].loss + share * (curve[i].loss - curve[i - 1].loss);
  }
  return curve.back().loss;
}

std::optional<double> step_reaching(const LossCurve& curve, double target) {
  for (size_t i = 0; i < curve.size(); ++i) {
    if (curve[i].loss > target) continue;
    if (i == 0) return curve[i].step;
    const double share = (curve[i - 1].loss - target) / (curve[i - 1].loss - curve[i].loss);
    return curve[i - 1].step + share * (curve[i].step - curve[i - 1].step);
  }
  return std::nullopt;
}

std::vector<CostAndLoss> front_of(std::vector<CostAndLoss> points) {
  std::ranges::sort(points, {},
                    [](const CostAndLoss& point) { return std::tuple(point.cost, point.loss, point.index); });
  std::vector<CostAndLoss> front;
  for (const CostAndLoss& point : points)
    if (front.empty() || point.loss < front.back().loss) front.push_back(point);
  return front;
}

}  // namespace interlock
