#pragma once
// Values whose sum tells the order of addition, and the sum by a plain loop.

#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

namespace interlock::conformance {

template <class T>
std::vector<T> values_of(int rank, size_t count) {
  std::mt19937_64 random(1000 * rank + count);
  std::uniform_real_distribution<T> spread(-1, 1);
  std::vector<T> values(count);
  // Magnitudes over twelve decades: with any other order of addition some sums come out different.
  for (T& value : values) value = spread(random) * std::pow(T{10}, static_cast<T>(static_cast<int>(random() % 12) - 6));
  return values;
}

template <class T>
std::vector<T> sum_in_order(const std::vector<int>& members, size_t count) {
  std::vector<T> sum = values_of<T>(members[0], count);
  for (size_t m = 1; m < members.size(); ++m) {
    const std::vector<T> next = values_of<T>(members[m], count);
    for (size_t i = 0; i < count; ++i) sum[i] += next[i];
  }
  return sum;
}

template <class T>
void expect_bit_equal(const std::vector<T>& left, const std::vector<T>& right) {
  ASSERT_EQ(left.size(), right.size());
  EXPECT_TRUE(left.empty() || std::memcmp(left.data(), right.data(), left.size() * sizeof(T)) == 0)
      << left.size() << " values";
}

}  // namespace interlock::conformance
