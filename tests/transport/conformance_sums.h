#pragma once
// Values whose sum tells the order of addition, the sum by a plain loop, and cuts of values into shards.

#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "parallel/transport/collectives.h"

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

using Ranges = std::vector<Collectives::Range>;

// Cuts of `count` elements: uneven, several ranges of one member (some touch), an empty range, members without any.
inline std::vector<Ranges> cuts_of(size_t count) {
  const size_t a = count / 7, b = count / 3, c = count - count / 5;
  return {{{0, count, 2}},
          {{0, a, 1}, {a, b, 0}, {b, b, 3}, {b, c, 1}, {c, count, 0}},
          {{0, a, 3}, {a, b, 3}, {b, c, 0}, {c, count, 2}},
          {{c, count, 0}, {b, c, 1}, {a, b, 2}, {0, a, 3}},
          {{a, c, 2}}};
}

}  // namespace interlock::conformance
