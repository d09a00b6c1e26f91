#pragma once
// Numbers modulo the prime 2^61 - 1, and the small network that plans are tried on.

#include <cmath>
#include <cstdint>
#include <stdexcept>

namespace interlock {

struct Modular {
  static constexpr uint64_t prime = (uint64_t{1} << 61) - 1;
  uint64_t value = 0;

  friend Modular operator+(Modular a, Modular b) { return {(a.value + b.value) % prime}; }
  friend Modular operator-(Modular a, Modular b) { return {(a.value + prime - b.value) % prime}; }
  friend Modular operator*(Modular a, Modular b) {
    __extension__ using Wide = unsigned __int128;
    return {static_cast<uint64_t>(Wide{a.value} * b.value % prime)};
  }
  Modular& operator+=(Modular other) { return *this = *this + other; }

  static Modular inverse(Modular a) {  // a^(p-2)
    Modular result{1};
    for (uint64_t exponent = prime - 2; exponent; exponent >>= 1, a = a * a) {
      if (exponent & 1) result = result * a;
    }
    return result;
  }
  // The fraction of small whole numbers that a weight of a test's rule stands for: 0.3 is 3/10. Weights of our tests
  // are whole numbers up to 9, tenths, and quotients of two of them, so a denominator up to 100 reaches all.
  static Modular of_weight(double weight) {
    for (int denominator = 1; denominator <= 100; ++denominator) {
      const double numerator = std::round(weight * denominator);
      // Two different fractions with denominators up to 100 are at least 1e-4 apart; rounding is near 1e-16.
      if (std::abs(weight - numerator / denominator) > 1e-12 * weight) continue;
      const Modular top{static_cast<uint64_t>(numerator)};
      return denominator == 1 ? top : top * inverse({static_cast<uint64_t>(denominator)});
    }
    throw std::logic_error("a test used a weight that is no small fraction");
  }
};

inline uint64_t mixed(uint64_t x) {  // SplitMix64 (Steele, Lea, Flood 2014)
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// Start values, inputs and targets as pure functions of the seed.
struct ToyNetwork {
  uint64_t seed;
  Modular draw(uint64_t what, uint64_t a, uint64_t b, uint64_t c) const {
    return {mixed(mixed(mixed(mixed(seed ^ what << 56) + a) + b) + c) % Modular::prime};
  }
  Modular body(int stage) const { return draw(1, stage, 0, 0); }
  Modular head(int stage) const { return draw(2, stage, 0, 0); }
  Modular input(int step, int replica, int microbatch) const { return draw(3, step, replica, microbatch); }
  Modular target(int stage, int step, int replica, int microbatch) const {
    return draw(4, stage, (uint64_t(step) << 32) + replica, microbatch);
  }
};

}  // namespace interlock
