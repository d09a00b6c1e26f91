#pragma once
// Several tests at once: p-values adjusted so that the chance of any false alarm among them stays what one test has.

#include <span>
#include <vector>

namespace interlock {

// Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 1979: in
// ascending order the i-th of m becomes the largest of min(1, (m - j + 1) p(j)) for j up to i. In the order of the
// argument.
std::vector<double> holm_adjusted(std::span<const double> p_values);

}  // namespace interlock
