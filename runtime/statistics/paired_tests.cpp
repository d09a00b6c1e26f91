#include "runtime/statistics/paired_tests.h"

#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <cstdint>
#include <numeric>

#include "runtime/statistics/sample.h"

namespace interlock {

std::optional<PairedT> paired_t(std::span<const double> differences) {
  const auto spread = deviation(differences);
  if (!spread) return std::nullopt;
  const double centre = mean(differences);
  if (*spread == 0) return centre == 0 ? std::optional(PairedT{0, 1}) : std::nullopt;
  const auto count = static_cast<double>(differences.size());
  const double statistic = centre / (*spread / std::sqrt(count));
  const boost::math::students_t distribution(count - 1);
  return PairedT{statistic, 2 * boost::math::cdf(boost::math::complement(distribution, std::abs(statistic)))};
}

std::optional<double> sign_flip_p(std::span<const double> differences) {
  const size_t count = differences.size();
  if (count < 2 || count > most_flipped) return std::nullopt;
  const double observed = std::abs(std::accumulate(differences.begin(), differences.end(), 0.0));
  double size = 0;
  for (const double difference : differences) size += std::abs(difference);
  const double rounding = 1e-12 * size;  // equal sums added in another order
  const uint64_t patterns = uint64_t{1} << count;
  uint64_t as_far = 0;
  for (uint64_t pattern = 0; pattern < patterns; ++pattern) {
    double sum = 0;
    for (size_t i = 0; i < count; ++i) sum += (pattern >> i & 1) != 0 ? -differences[i] : differences[i];
    as_far += std::abs(sum) >= observed - rounding;
  }
  return static_cast<double>(as_far) / static_cast<double>(patterns);
}

}  // namespace interlock
