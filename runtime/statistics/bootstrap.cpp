#include "runtime/statistics/bootstrap.h"

#include <algorithm>
#include <boost/math/distributions/normal.hpp>
#include <cmath>
#include <numeric>
#include <vector>

#include "runtime/core/random.h"

namespace interlock {
namespace {

// Means of resamples, ascending. Element i of resample r is word i % 4 of counter (r, i / 4).
std::vector<double> resampled_means(std::span<const double> values, const BootstrapSettings& settings) {
  const RandomKey key = random_key(settings.seed, Purpose::resampling);
  const auto count = static_cast<double>(values.size());
  std::vector<double> means;
  means.reserve(static_cast<size_t>(settings.draws));
  for (int64_t draw = 0; draw < settings.draws; ++draw) {
    double sum = 0;
    std::array<uint32_t, 4> words{};
    for (size_t i = 0; i < values.size(); ++i) {
      if (i % 4 == 0) words = philox(key, static_cast<uint64_t>(draw), i / 4);
      sum += values[static_cast<size_t>(unit_interval(words[i % 4]) * count)];
    }
    means.push_back(sum / count);
  }
  std::ranges::sort(means);
  return means;
}

// Between the two nearest order statistics.
double quantile_of(const std::vector<double>& sorted, double level) {
  const double place = level * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(std::floor(place));
  const double rest = place - std::floor(place);
  return below + 1 < sorted.size() ? sorted[below] + rest * (sorted[below + 1] - sorted[below]) : sorted.back();
}

// A sixth of the skewness of the means that leave one value out.
double acceleration(std::span<const double> values) {
  const double centre = mean(values);
  double squares = 0, cubes = 0;
  for (const double value : values) {  // (value - centre) / (n - 1) is what leaving it out takes away; n - 1 cancels
    squares += (value - centre) * (value - centre);
    cubes += (value - centre) * (value - centre) * (value - centre);
  }
  return squares == 0 ? 0 : cubes / (6 * std::pow(squares, 1.5));
}

}  // namespace

std::optional<Interval> bootstrap_interval(std::span<const double> values, const BootstrapSettings& settings) {
  if (values.size() < 2) return std::nullopt;
  const double centre = mean(values);
  if (std::ranges::all_of(values, [&](double value) { return value == values.front(); }))
    return Interval{values.front(), values.front()};
  const std::vector<double> means = resampled_means(values, settings);
  const double rounding = 1e-12 * (std::abs(centre) + (means.back() - means.front()));
  const auto below = std::ranges::lower_bound(means, centre - rounding) - means.begin();
  const auto up_to = std::ranges::upper_bound(means, centre + rounding) - means.begin();
  // Means that equal the sample's count half: with few values they are many.
  const double share =
      (static_cast<double>(below) + static_cast<double>(up_to)) / 2 / static_cast<double>(means.size());
  const boost::math::normal normal;
  const double bias = boost::math::quantile(normal, std::clamp(share, 1e-9, 1 - 1e-9)), skew = acceleration(values);
  const auto level = [&](double tail) {
    const double shifted = bias + boost::math::quantile(normal, tail);
    return boost::math::cdf(normal, bias + shifted / (1 - skew * shifted));
  };
  const double tail = (1 - settings.confidence) / 2;
  return Interval{quantile_of(means, level(tail)), quantile_of(means, level(1 - tail))};
}

}  // namespace interlock
