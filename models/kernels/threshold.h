#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace interlock::kernels {

// As runtime/core/random.cpp: a word below drops its element.
inline uint32_t drop_threshold(double rate) {
  return static_cast<uint32_t>(std::clamp(std::ceil(rate * 0x1p32 - 0.5), 0.0, 0x1p32 - 1));
}

}  // namespace interlock::kernels
