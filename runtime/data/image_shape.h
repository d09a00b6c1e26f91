#pragma once
// The shape of the samples of a data set of images. Torch-free.

#include <cstdint>

namespace interlock {

// A sample is channels x height x width numbers in this order, in one row. All 0: samples are no images.
struct ImageShape {
  int64_t channels = 0, height = 0, width = 0;
  int64_t numbers() const { return channels * height * width; }
  bool operator==(const ImageShape&) const = default;
};

}  // namespace interlock
