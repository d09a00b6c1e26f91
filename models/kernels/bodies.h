#pragma once
// What kernels compute, number by number and row by row: functions of the host and the device. The launches around them
// (*.cu) say which thread takes what.

#include <cmath>
#include <cstdint>

#include "runtime/core/host_device.h"

namespace interlock::kernels {

// ---- Keyed dropout: Philox4x32-10, as runtime/core/random.cpp

struct Words {
  uint32_t word[4];
};

INTERLOCK_HOST_DEVICE inline uint32_t upper(uint64_t value) { return static_cast<uint32_t>(value >> 32); }
INTERLOCK_HOST_DEVICE inline uint32_t lower(uint64_t value) { return static_cast<uint32_t>(value); }

INTERLOCK_HOST_DEVICE inline Words philox_words(uint64_t key, uint64_t counter_high, uint64_t counter_low) {
  Words w{{lower(counter_low), upper(counter_low), lower(counter_high), upper(counter_high)}};
  uint32_t key_0 = lower(key), key_1 = upper(key);
  for (int round = 0; round < 10; ++round) {
    const uint64_t product_0 = uint64_t{0xD2511F53} * w.word[0], product_1 = uint64_t{0xCD9E8D57} * w.word[2];
    w = {{upper(product_1) ^ w.word[1] ^ key_0, lower(product_1), upper(product_0) ^ w.word[3] ^ key_1,
          lower(product_0)}};
    key_0 += 0x9E3779B9;
    key_1 += 0xBB67AE85;
  }
  return w;
}

INTERLOCK_HOST_DEVICE inline float dropped(uint32_t word, uint32_t threshold, float x, float factor) {
  return word < threshold ? 0.0f : x * factor;
}

// ---- Summed cross-entropy: of a row the largest number, and the sum of exp(x - largest)

struct LogSum {
  float largest = -INFINITY, sum = 0;
};

INTERLOCK_HOST_DEVICE inline LogSum combined(const LogSum& a, const LogSum& b) {
  if (b.sum == 0) return a;
  if (a.sum == 0) return b;
  const float largest = a.largest > b.largest ? a.largest : b.largest;
  return {largest, a.sum * expf(a.largest - largest) + b.sum * expf(b.largest - largest)};
}
INTERLOCK_HOST_DEVICE inline LogSum with(const LogSum& a, float x) {
  if (x <= a.largest) return {a.largest, a.sum + expf(x - a.largest)};
  return {x, a.sum * expf(a.largest - x) + 1.0f};
}
INTERLOCK_HOST_DEVICE inline float probability(const LogSum& row, float x) { return expf(x - row.largest) / row.sum; }
INTERLOCK_HOST_DEVICE inline float loss_of(const LogSum& row, float target) {
  return logf(row.sum) + row.largest - target;
}

// ---- Layer norm: mean and squared distances of a part of a row (Chan, Golub and LeVeque, 1983)

struct Spread {
  float count = 0, mean = 0, squares = 0;
};

INTERLOCK_HOST_DEVICE inline Spread combined(const Spread& a, const Spread& b) {
  const float count = a.count + b.count;
  if (count == 0) return a;
  const float apart = b.mean - a.mean, share = b.count / count;
  return {count, a.mean + apart * share, a.squares + b.squares + apart * apart * a.count * share};
}
INTERLOCK_HOST_DEVICE inline Spread with(const Spread& a, float x) { return combined(a, {1, x, 0}); }
INTERLOCK_HOST_DEVICE inline float inverse_deviation(const Spread& row, float epsilon) {
  return 1.0f / sqrtf(row.squares / row.count + epsilon);
}

// Of a row's gradient at the norm's result: the sums of g w and of g w x^, with x^ the normed number.
struct Slopes {
  float plain = 0, normed = 0;
};
INTERLOCK_HOST_DEVICE inline Slopes combined(const Slopes& a, const Slopes& b) {
  return {a.plain + b.plain, a.normed + b.normed};
}
INTERLOCK_HOST_DEVICE inline Slopes with(const Slopes& a, float gradient, float weight, float normed) {
  return {a.plain + gradient * weight, a.normed + gradient * weight * normed};
}
INTERLOCK_HOST_DEVICE inline Slopes mean_of(const Slopes& row, float width) {
  return {row.plain / width, row.normed / width};
}
INTERLOCK_HOST_DEVICE inline float input_gradient(const Slopes& mean, float gradient, float weight, float normed,
                                                  float inverse) {
  return inverse * (gradient * weight - (mean.plain + normed * mean.normed));
}

}  // namespace interlock::kernels
