#pragma once
// What becomes of an image before a model sees it: in training a shifted crop and a flip, always normalised numbers.
// Torch-free.

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/core/config.h"
#include "runtime/data/image_shape.h"

namespace interlock {

class Augmentation {
 public:
  struct Normal {  // per channel; empty: 0 and 1
    std::vector<double> mean, deviation;
  };
  // Reads data.crop_padding, flip, mean and std.
  Augmentation(const Section& data, const ImageShape& image, const Normal& fallback, uint64_t seed);

  // Writes image.numbers() numbers: (pixel / 255 - mean) / deviation. In training the image lies in a frame of
  // `crop_padding` black pixels and a window of its own size is taken from it, then it is mirrored or not: draws keyed
  // by (seed, epoch, sample).
  void train(const uint8_t* planes, uint64_t epoch, uint64_t sample, float* out) const;
  void plain(const uint8_t* planes, float* out) const;

 private:
  struct Window {
    int64_t down = 0, right = 0;  // where the window begins, from the image's corner
    bool mirrored = false;
  };
  void write(const uint8_t* planes, Window window, float* out) const;

  ImageShape image_;
  int64_t padding_ = 0;
  bool flips_ = false;
  uint64_t seed_;
  std::vector<float> values_;  // of every channel, of each of 256 pixel values
};

}  // namespace interlock
