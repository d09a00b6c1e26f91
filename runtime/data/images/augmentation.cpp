#include "runtime/data/images/augmentation.h"

#include <algorithm>

#include "runtime/core/error.h"
#include "runtime/core/random.h"

namespace interlock {
namespace {

constexpr size_t levels = 256;

std::vector<double> read_channels(const Section& data, const std::string& key, const std::vector<double>& fallback,
                                  const ImageShape& image) {
  std::vector<double> numbers = data.numbers(key, fallback);
  if (!numbers.empty() && static_cast<int64_t>(numbers.size()) != image.channels)
    data.refuse(key, message("has ", numbers.size(), " numbers; the images have ", image.channels, " channels"));
  return numbers;
}

// word / 2^32 of `count`, rounded down.
int64_t drawn(uint32_t word, int64_t count) {
  return static_cast<int64_t>(static_cast<uint64_t>(word) * static_cast<uint64_t>(count) >> 32);
}

}  // namespace

Augmentation::Augmentation(const Section& data, const ImageShape& image, const Normal& fallback, uint64_t seed)
    : image_(image), seed_(seed) {
  padding_ = data.integer("crop_padding", 0, 0, std::min(image.height, image.width));
  flips_ = data.flag("flip", false);
  const std::vector<double> mean = read_channels(data, "mean", fallback.mean, image);
  const std::vector<double> deviation = read_channels(data, "std", fallback.deviation, image);
  if (mean.empty() != deviation.empty())
    data.refuse(mean.empty() ? "mean" : "std", "is needed beside its partner: (pixel / 255 - mean) / std");
  for (const double one : deviation)
    if (one <= 0) data.refuse("std", "must be above 0");
  for (size_t channel = 0; channel < static_cast<size_t>(image.channels); ++channel)
    for (size_t level = 0; level < levels; ++level) {
      const float value = static_cast<float>(level) / 255;
      values_.push_back(
          mean.empty() ? value
                       : static_cast<float>((static_cast<double>(level) / 255 - mean[channel]) / deviation[channel]));
    }
}

void Augmentation::train(const uint8_t* planes, uint64_t epoch, uint64_t sample, float* out) const {
  if (padding_ == 0 && !flips_) return plain(planes, out);
  const auto words = philox(random_key(seed_, Purpose::augmentation, epoch), 0, sample);
  Window window{drawn(words[0], 2 * padding_ + 1) - padding_, drawn(words[1], 2 * padding_ + 1) - padding_, false};
  window.mirrored = flips_ && drawn(words[2], 2) == 1;
  write(planes, window, out);
}

void Augmentation::plain(const uint8_t* planes, float* out) const { write(planes, {}, out); }

void Augmentation::write(const uint8_t* planes, Window window, float* out) const {
  const auto& [channels, height, width] = image_;
  for (int64_t channel = 0; channel < channels; ++channel) {
    const float* value = values_.data() + static_cast<size_t>(channel) * levels;
    for (int64_t row = 0; row < height; ++row) {
      const int64_t from = row + window.down;
      const int64_t line = (channel * height + from) * width;
      for (int64_t column = 0; column < width; ++column) {
        const int64_t place = (window.mirrored ? width - 1 - column : column) + window.right;
        const bool inside = from >= 0 && from < height && place >= 0 && place < width;
        *out++ = value[inside ? planes[line + place] : 0];
      }
    }
  }
}

}  // namespace interlock
