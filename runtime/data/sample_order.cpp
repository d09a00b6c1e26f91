// The keyed shuffle of every epoch.

#include "runtime/data/sample_order.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "runtime/core/random.h"

namespace interlock {

SamplePlace shuffled(uint64_t seed, Split split, int64_t number, int64_t size, uint64_t corpus) {
  const bool training = split == Split::training;
  assert(number >= 0 && size > 0 && (training || number < size));
  const auto epoch = static_cast<uint64_t>(number / size);
  const RandomKey key = random_key(seed, Purpose::sample_order, epoch, corpus, training ? 0 : 1);
  return {epoch,
          static_cast<int64_t>(permuted(key, static_cast<uint64_t>(number % size), static_cast<uint64_t>(size)))};
}

double read_held_out(const Section& data) {
  const double share = data.number("held_out", 0.05, 0, 1);
  if (share == 1) data.refuse("held_out", "must be below 1: nothing would be left to train on");
  return share;
}

int64_t held_out_count(double share, int64_t samples) {
  if (share == 0 || samples < 2) return 0;
  return std::clamp<int64_t>(std::llround(share * static_cast<double>(samples)), 1, samples - 1);
}

}  // namespace interlock
