#include "runtime/statistics/sample.h"

#include <boost/math/distributions/students_t.hpp>
#include <cassert>
#include <cmath>
#include <numeric>

namespace interlock {

double mean(std::span<const double> values) {
  assert(!values.empty());
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

std::optional<double> deviation(std::span<const double> values) {
  if (values.size() < 2) return std::nullopt;
  const double centre = mean(values);
  double squares = 0;
  for (const double value : values) squares += (value - centre) * (value - centre);
  return std::sqrt(squares / static_cast<double>(values.size() - 1));
}

std::optional<Interval> student_interval(std::span<const double> values, double confidence) {
  const auto spread = deviation(values);
  if (!spread) return std::nullopt;
  const auto count = static_cast<double>(values.size());
  const double quantile = boost::math::quantile(boost::math::students_t(count - 1), (1 + confidence) / 2);
  const double half = quantile * *spread / std::sqrt(count), centre = mean(values);
  return Interval{centre - half, centre + half};
}

}  // namespace interlock
