#pragma once
// Sums of squares whose bits depend on the numbers alone: not on threads, nor on what else is summed.

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>

namespace interlock {

// In double, in eight interleaved sums: one alone would wait for each addition before the next.
template <class T>
double sum_of_squares(const T* numbers, int64_t count) {
  std::array<double, 8> sums{};
  int64_t i = 0;
  for (; i + 8 <= count; i += 8)
    for (int64_t lane = 0; lane < 8; ++lane) {
      const double number = numbers[i + lane];
      sums[lane] += number * number;
    }
  for (; i < count; ++i) sums[0] += static_cast<double>(numbers[i]) * static_cast<double>(numbers[i]);
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

// Sums of squares of parts of `numbers` (contiguous) into `out` (float64). `runs` is int64 [count, 3]: where each
// begins, where it ends, and its place in `out`.
void run_squares(const at::Tensor& numbers, const at::Tensor& runs, at::Tensor out);

}  // namespace interlock
