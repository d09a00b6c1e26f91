#pragma once
// Curves of runs as a picture takes them.

#include <functional>
#include <vector>

#include "launch/page/chart.h"
#include "launch/run_report/run_record.h"

namespace interlock {

// What stands on the x axis, from a row of metrics.
using RowValue = std::function<double(const MetricsRow&)>;

std::vector<ChartPoint> curve_of(const RunRecord& run, const RowValue& x, const RowValue& y);
// At evaluations only.
std::vector<ChartPoint> held_out_curve(const RunRecord& run, const RowValue& x);
// At most `most` points, each the mean of as many neighbours.
std::vector<ChartPoint> thinned(const std::vector<ChartPoint>& points, size_t most = 120);
// The mean of several curves place by place, as far as the shortest goes, with a band from the least to the most.
std::vector<ChartPoint> mean_curve(const std::vector<std::vector<ChartPoint>>& curves);

inline double step_of(const MetricsRow& row) { return static_cast<double>(row.step); }
inline double seconds_of(const MetricsRow& row) { return row.seconds; }

}  // namespace interlock
