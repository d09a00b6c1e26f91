// Philox4x32-10 and what is drawn from it. The dropout mask is made for every activation of every pass, so its loop
// runs over many counters at a time in a form that the compiler turns into vector code (this file is compiled with
// -O3).

#include "runtime/core/random.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <numbers>

namespace interlock {
namespace {

// Multipliers and Weyl increments of Salmon et al., table 2 and section 3.
constexpr uint32_t multiplier_0 = 0xD2511F53, multiplier_1 = 0xCD9E8D57;
constexpr uint32_t weyl_0 = 0x9E3779B9, weyl_1 = 0xBB67AE85;
constexpr int rounds = 10;

// Counters worked on at a time. g++ 12 unrolls shorter loops before it can vectorise them: measured per element 3.5 ns
// for 8 lanes, 0.77 for 32 and 0.67 for 64 with AVX-512, 1.4 with AVX2.
constexpr int lanes = 64;

// Wider vector units are chosen when the program starts. Only integers and a selection run in the clones, so their
// results are the same bits. Sanitizers cannot start with run-time chosen functions.
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define INTERLOCK_VECTOR_CLONES __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define INTERLOCK_VECTOR_CLONES
#endif

uint32_t low_word(uint64_t value) { return static_cast<uint32_t>(value); }
uint32_t high_word(uint64_t value) { return static_cast<uint32_t>(value >> 32); }

// Words of `lanes` counters (high, low) .. (high, low + lanes - 1), word by word.
[[gnu::always_inline]] inline void philox_lanes(RandomKey key, uint64_t high, uint64_t low,
                                                uint32_t (&word)[4][lanes]) {
  for (int i = 0; i < lanes; ++i) {
    word[0][i] = low_word(low + i);
    word[1][i] = high_word(low + i);
    word[2][i] = low_word(high);
    word[3][i] = high_word(high);
  }
  uint32_t key_0 = key.low, key_1 = key.high;
  for (int round = 0; round < rounds; ++round) {
    for (int i = 0; i < lanes; ++i) {
      const uint64_t product_0 = uint64_t{multiplier_0} * word[0][i];
      const uint64_t product_1 = uint64_t{multiplier_1} * word[2][i];
      word[0][i] = high_word(product_1) ^ word[1][i] ^ key_0;
      word[1][i] = low_word(product_1);
      word[2][i] = high_word(product_0) ^ word[3][i] ^ key_1;
      word[3][i] = low_word(product_0);
    }
    key_0 += weyl_0;
    key_1 += weyl_1;
  }
}

// A word below this drops its element: unit_interval(word) < rate, as integers.
uint32_t drop_threshold(double rate) {
  return static_cast<uint32_t>(std::clamp(std::ceil(rate * 0x1p32 - 0.5), 0.0, 0x1p32 - 1));
}

template <class T>
[[gnu::always_inline]] inline void dropout_loop(T* out, int64_t count, uint32_t threshold, T scale, RandomKey key,
                                                uint64_t sample) {
  uint32_t word[4][lanes];
  constexpr int64_t chunk = 4 * lanes;
  int64_t begin = 0;
  for (; begin + chunk <= count; begin += chunk) {
    philox_lanes(key, sample, static_cast<uint64_t>(begin) / 4, word);
    for (int i = 0; i < lanes; ++i)
      for (int w = 0; w < 4; ++w) out[begin + 4 * i + w] = word[w][i] < threshold ? T{0} : scale;
  }
  if (begin == count) return;
  philox_lanes(key, sample, static_cast<uint64_t>(begin) / 4, word);
  for (int64_t i = 0; i < count - begin; ++i) out[begin + i] = word[i % 4][i / 4] < threshold ? T{0} : scale;
}

INTERLOCK_VECTOR_CLONES
void dropout_mask(float* out, int64_t count, uint32_t threshold, float scale, RandomKey key, uint64_t sample) {
  dropout_loop(out, count, threshold, scale, key, sample);
}
INTERLOCK_VECTOR_CLONES
void dropout_mask(double* out, int64_t count, uint32_t threshold, double scale, RandomKey key, uint64_t sample) {
  dropout_loop(out, count, threshold, scale, key, sample);
}

RandomKey key_of(const std::array<uint32_t, 4>& words) { return {words[0], words[1]}; }
uint64_t first_64_bits(const std::array<uint32_t, 4>& words) { return uint64_t{words[1]} << 32 | words[0]; }
uint64_t last_64_bits(const std::array<uint32_t, 4>& words) { return uint64_t{words[3]} << 32 | words[2]; }

// 53 bits in (0, 1): never 0, whose logarithm is infinite.
double fine_unit_interval(uint64_t bits) { return (static_cast<double>(bits >> 11) + 0.5) * 0x1p-53; }

}  // namespace

std::array<uint32_t, 4> philox(RandomKey key, uint64_t counter_high, uint64_t counter_low) {
  std::array<uint32_t, 4> word{low_word(counter_low), high_word(counter_low), low_word(counter_high),
                               high_word(counter_high)};
  for (int round = 0; round < rounds; ++round) {
    const uint64_t product_0 = uint64_t{multiplier_0} * word[0];
    const uint64_t product_1 = uint64_t{multiplier_1} * word[2];
    word = {high_word(product_1) ^ word[1] ^ key.low, low_word(product_1), high_word(product_0) ^ word[3] ^ key.high,
            low_word(product_0)};
    key.low += weyl_0;
    key.high += weyl_1;
  }
  return word;
}

// Philox is its own mixer: each pair of arguments is a counter under the key made of those before it.
RandomKey random_key(uint64_t seed, Purpose purpose, uint64_t step, uint64_t layer, uint64_t site) {
  const RandomKey of_step = key_of(philox({low_word(seed), high_word(seed)}, static_cast<uint64_t>(purpose), step));
  return key_of(philox(of_step, layer, site));
}

RandomKey random_key(uint64_t seed, Purpose purpose, std::string_view name) {
  // The length goes in first, so that the zero padding of the last 16 bytes cannot make two names equal.
  RandomKey key = random_key(seed, purpose, 0, ~uint64_t{0}, name.size());
  for (size_t begin = 0; begin < name.size(); begin += 16) {
    uint64_t part[2] = {0, 0};
    for (size_t i = begin; i < std::min(begin + 16, name.size()); ++i)
      part[(i - begin) / 8] |= uint64_t{static_cast<uint8_t>(name[i])} << (8 * (i % 8));
    key = key_of(philox(key, part[1], part[0]));
  }
  return key;
}

uint64_t permuted(RandomKey key, uint64_t index, uint64_t size) {
  assert(index < size);
  // Both halves of the index take turns in being changed by a function of the other: a bijection on `bits` bits. The
  // domain is less than twice `size`, so walking on until the value is inside takes two turns on average at most.
  const int bits = std::bit_width(size - 1);
  const int upper_bits = (bits + 1) / 2, lower_bits = bits / 2;
  const uint64_t upper_mask = (uint64_t{1} << upper_bits) - 1, lower_mask = (uint64_t{1} << lower_bits) - 1;
  // Luby and Rackoff need 4 half-rounds for large halves; small halves mix slower, hence 8.
  constexpr uint64_t half_rounds = 8;
  do {
    uint64_t upper = index >> lower_bits, lower = index & lower_mask;
    for (uint64_t round = 0; round < half_rounds; round += 2) {
      upper ^= first_64_bits(philox(key, round, lower)) & upper_mask;
      lower ^= first_64_bits(philox(key, round + 1, upper)) & lower_mask;
    }
    index = upper << lower_bits | lower;
  } while (index >= size);
  return index;
}

template <class T>
void fill_dropout(T* out, int64_t count, double rate, RandomKey key, uint64_t sample) {
  assert(rate >= 0 && rate <= 1);
  if (rate >= 1) {
    std::fill_n(out, count, T{0});
    return;
  }
  dropout_mask(out, count, drop_threshold(rate), static_cast<T>(1 / (1 - rate)), key, sample);
}

template <class T>
void fill_normal(T* out, int64_t count, double deviation, RandomKey key) {
  for (int64_t i = 0; i < count; i += 2) {
    const auto words = philox(key, 0, static_cast<uint64_t>(i) / 2);
    const double radius = deviation * std::sqrt(-2 * std::log(fine_unit_interval(first_64_bits(words))));
    const double angle = 2 * std::numbers::pi * fine_unit_interval(last_64_bits(words));
    out[i] = static_cast<T>(radius * std::cos(angle));
    if (i + 1 < count) out[i + 1] = static_cast<T>(radius * std::sin(angle));
  }
}

template <class T>
void fill_truncated_normal(T* out, int64_t count, double deviation, RandomKey key) {
  for (int64_t i = 0; i < count; ++i) {
    double value = 3;
    for (uint64_t attempt = 0; std::abs(value) > 2; ++attempt) {
      const auto words = philox(key, attempt, static_cast<uint64_t>(i));
      value = std::sqrt(-2 * std::log(fine_unit_interval(first_64_bits(words)))) *
              std::cos(2 * std::numbers::pi * fine_unit_interval(last_64_bits(words)));
    }
    out[i] = static_cast<T>(deviation * value);
  }
}

template <class T>
void fill_uniform(T* out, int64_t count, double bound, RandomKey key) {
  for (int64_t i = 0; i < count; ++i) {
    const auto words = philox(key, 0, static_cast<uint64_t>(i) / 4);
    out[i] = static_cast<T>(bound * (2 * unit_interval(words[static_cast<size_t>(i % 4)]) - 1));
  }
}

template void fill_dropout(float*, int64_t, double, RandomKey, uint64_t);
template void fill_dropout(double*, int64_t, double, RandomKey, uint64_t);
template void fill_normal(float*, int64_t, double, RandomKey);
template void fill_normal(double*, int64_t, double, RandomKey);
template void fill_truncated_normal(float*, int64_t, double, RandomKey);
template void fill_truncated_normal(double*, int64_t, double, RandomKey);
template void fill_uniform(float*, int64_t, double, RandomKey);
template void fill_uniform(double*, int64_t, double, RandomKey);

}  // namespace interlock
