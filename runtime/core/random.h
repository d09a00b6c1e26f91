#pragma once
// Keyed randomness: every draw is a pure function of (seed, purpose, step, layer, site) and a counter. There is no
// generator state, so a result does not depend on placement, schedule or recomputation, and resuming needs nothing
// saved. Philox4x32-10: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

#include <array>
#include <cstdint>
#include <string_view>

namespace interlock {

enum class Purpose : uint32_t {
  initial_value = 1,
  dropout = 2,
  attention_dropout = 3,
  masking = 4,
  sample_order = 5,
  synthetic_data = 6,
  layer_gates = 7,
  weight_noise = 8,
  augmentation = 16,
  resampling = 32,  // of the bootstrap
  generation = 33,  // of tokens behind a prompt
};

struct RandomKey {
  uint32_t low = 0, high = 0;
};
// As one number, where an interface knows no keys.
inline int64_t packed(RandomKey key) { return static_cast<int64_t>(uint64_t{key.high} << 32 | key.low); }
inline RandomKey unpacked(int64_t key) {
  const auto bits = static_cast<uint64_t>(key);
  return {static_cast<uint32_t>(bits), static_cast<uint32_t>(bits >> 32)};
}

// Mixes the arguments into a Philox key. `layer` is the global block, `site` counts the places inside it.
RandomKey random_key(uint64_t seed, Purpose purpose, uint64_t step = 0, uint64_t layer = 0, uint64_t site = 0);
// The key for a name, for initial values: it depends on the seed and the global parameter name only.
RandomKey random_key(uint64_t seed, Purpose purpose, std::string_view name);

// Four 32-bit words for counter (high, low).
std::array<uint32_t, 4> philox(RandomKey key, uint64_t counter_high, uint64_t counter_low);

inline double unit_interval(uint32_t word) { return (word + 0.5) * 0x1p-32; }  // in (0, 1)

// A keyed permutation of 0..size-1 that stores nothing: a Feistel network of Philox rounds with cycle walking.
uint64_t permuted(RandomKey key, uint64_t index, uint64_t size);

// out[i] = 0 with probability `rate`, else 1 / (1 - rate); element i of `sample` is word i % 4 of counter (sample, i /
// 4). T is float or double; both make the same decisions.
template <class T>
void fill_dropout(T* out, int64_t count, double rate, RandomKey key, uint64_t sample);
// out[i] ~ N(0, deviation), by Box-Muller from words of counter (0, i / 2). Computed in double, so T changes rounding
// only.
template <class T>
void fill_normal(T* out, int64_t count, double deviation, RandomKey key);

// The same of a normal distribution cut off at twice the deviation: element i takes words of counters (attempt, i)
// until one is inside.
template <class T>
void fill_truncated_normal(T* out, int64_t count, double deviation, RandomKey key);
// out[i] uniform in (-bound, bound), from word i % 4 of counter (0, i / 4).
template <class T>
void fill_uniform(T* out, int64_t count, double bound, RandomKey key);

}  // namespace interlock
