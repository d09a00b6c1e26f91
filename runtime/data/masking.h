#pragma once
// Which places of a sample are predicted, and what the model sees there: a pure function of (seed, split, epoch,
// sample).

#include <cstdint>
#include <span>

#include "runtime/core/config.h"
#include "runtime/data/dataset.h"

namespace interlock {

class Masking {
 public:
  // Reads [objective]: mask_rate, and of the masked places mask_share become <mask>, random_share a random byte; the
  // rest is kept.
  Masking(const Section& objective, uint64_t seed);
  double rate() const { return rate_; }

  // Of `count` bytes max(1, round(rate * count)) are predicted, so that no sample is empty; none of 0.
  int64_t predicted(int64_t count) const;
  // `tokens` are the byte tokens of one sample, without specials and padding. Changes them to what the model sees and
  // puts the true token into `targets` (of equal size, filled with ignored_target before) where one is predicted.
  // Held-out samples have draws of their own, and callers pass epoch 0: what is evaluated never changes.
  void apply(Split split, uint64_t epoch, uint64_t sample, std::span<int64_t> tokens, std::span<int64_t> targets) const;

 private:
  double rate_, mask_share_, random_share_;
  uint64_t seed_;
};

}  // namespace interlock
