#include "launch/run_report/curves.h"

#include <algorithm>
#include <cmath>

namespace interlock {

std::vector<ChartPoint> curve_of(const RunRecord& run, const RowValue& x, const RowValue& y) {
  std::vector<ChartPoint> points;
  for (const MetricsRow& row : run.rows)
    if (const double value = y(row); std::isfinite(value)) points.push_back({x(row), value, 1, 0, ""});
  return points;
}

std::vector<ChartPoint> held_out_curve(const RunRecord& run, const RowValue& x) {
  std::vector<ChartPoint> points;
  for (const MetricsRow& row : run.rows)
    if (row.validation_loss) points.push_back({x(row), *row.validation_loss, 1, 0, ""});
  return points;
}

std::vector<ChartPoint> thinned(const std::vector<ChartPoint>& points, size_t most) {
  if (points.size() <= most) return points;
  std::vector<ChartPoint> few;
  for (size_t bucket = 0; bucket < most; ++bucket) {
    const size_t begin = bucket * points.size() / most, end = (bucket + 1) * points.size() / most;
    ChartPoint sum{0, 0, 1, 0, ""};
    for (size_t i = begin; i < end; ++i) {
      sum.x += points[i].x / static_cast<double>(end - begin);
      sum.y += points[i].y / static_cast<double>(end - begin);
    }
    few.push_back(sum);
  }
  return few;
}

std::vector<ChartPoint> mean_curve(const std::vector<std::vector<ChartPoint>>& curves) {
  if (curves.empty()) return {};
  if (curves.size() == 1) return curves.front();
  const size_t shortest = std::ranges::min(curves, {}, [](const auto& curve) { return curve.size(); }).size();
  std::vector<ChartPoint> mean;
  for (size_t i = 0; i < shortest; ++i) {
    ChartPoint point{0, 0, curves.front()[i].y, curves.front()[i].y, ""};
    for (const auto& curve : curves) {
      point.x += curve[i].x / static_cast<double>(curves.size());
      point.y += curve[i].y / static_cast<double>(curves.size());
      point.low = std::min(point.low, curve[i].y);
      point.high = std::max(point.high, curve[i].y);
    }
    mean.push_back(point);
  }
  return mean;
}

}  // namespace interlock
