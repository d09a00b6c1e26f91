#pragma once
// How well a sample tells a mean, without a formula for its distribution: by drawing from the sample itself.

#include <cstdint>
#include <optional>
#include <span>

#include "runtime/statistics/sample.h"

namespace interlock {

struct BootstrapSettings {
  double confidence = 0.95;
  int64_t draws = 20000;
  uint64_t seed = 1;
};

// The bias-corrected and accelerated interval of the mean (Efron, "Better bootstrap confidence intervals", JASA 1987):
// quantiles of the means of resamples at levels that the share of means below the sample's (bias) and the jackknife's
// skewness (acceleration) shift. Draws are keyed by the seed. With few values it is narrower than it says: five seeds
// have 126 resamples that differ. None for fewer than two values; a point where all are equal.
std::optional<Interval> bootstrap_interval(std::span<const double> values, const BootstrapSettings& settings = {});

}  // namespace interlock
