#pragma once
// Tests of pairs: whether two treatments of the same seeds differ by more than chance, from the differences. Two-sided.

#include <optional>
#include <span>

namespace interlock {

// Student's paired t test: t = mean / (s / sqrt(n)) with n - 1 degrees of freedom. It takes differences to be normal.
// None for fewer than two pairs, and where all differences are one number other than 0 (t has no bound). All 0: p = 1.
struct PairedT {
  double statistic = 0, p_value = 1;
};
std::optional<PairedT> paired_t(std::span<const double> differences);

// The share of all 2^n patterns of signs under which the mean is at least as far from 0: exact, and nothing is taken to
// be normal. None for fewer than two pairs or more than `most_flipped`.
inline constexpr size_t most_flipped = 20;
std::optional<double> sign_flip_p(std::span<const double> differences);

}  // namespace interlock
