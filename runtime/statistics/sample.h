#pragma once
// A sample of numbers: its mean, its spread, and how well it tells the mean of what it was drawn from.

#include <optional>
#include <span>

namespace interlock {

struct Interval {
  double low = 0, high = 0;
};

double mean(std::span<const double> values);  // of at least one
// With n - 1 in the denominator; none for fewer than two values.
std::optional<double> deviation(std::span<const double> values);
// Student's: mean +- t s / sqrt(n), t the quantile with n - 1 degrees of freedom. None for fewer than two values.
std::optional<Interval> student_interval(std::span<const double> values, double confidence = 0.95);

}  // namespace interlock
