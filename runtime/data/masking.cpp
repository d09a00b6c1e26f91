// Keyed choice of masked places.

#include "runtime/data/masking.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "runtime/core/random.h"
#include "runtime/data/byte_tokens.h"

namespace interlock {
namespace {

// A number below `size` from 32 random bits. Its bias is below size / 2^32: 2e-6 for 8192 places.
uint64_t below(uint32_t word, uint64_t size) { return (word * size) >> 32; }

}  // namespace

Masking::Masking(const Section& objective, uint64_t seed)
    : rate_(objective.number("mask_rate", 0.15, 0, 1)),
      mask_share_(objective.number("mask_share", 0.8, 0, 1)),
      random_share_(objective.number("random_share", 0.1, 0, 1)),
      seed_(seed) {
  if (rate_ == 0) objective.refuse("mask_rate", "must be above 0: without masked places nothing is predicted");
  if (mask_share_ + random_share_ > 1 + 1e-9) {  // 0.9 + 0.1 must not fail by rounding
    objective.refuse("random_share", message("and mask_share (", mask_share_, ") add up to more than 1"));
  }
}

int64_t Masking::predicted(int64_t count) const {
  if (count == 0) return 0;
  return std::clamp<int64_t>(std::llround(rate_ * static_cast<double>(count)), 1, count);
}

void Masking::apply(Split split, uint64_t epoch, uint64_t sample, std::span<int64_t> tokens,
                    std::span<int64_t> targets) const {
  assert(tokens.size() == targets.size());
  const RandomKey key = random_key(seed_, Purpose::masking, epoch, 0, split == Split::training ? 0 : 1);
  std::vector<uint32_t> places(tokens.size());
  std::iota(places.begin(), places.end(), 0u);
  const auto count = static_cast<size_t>(predicted(static_cast<int64_t>(tokens.size())));
  for (size_t i = 0; i < count; ++i) {
    // One step of Fisher and Yates: place i is any of those not chosen yet.
    const auto [place_word, kind_word, byte_word, unused] = philox(key, sample, i);
    std::swap(places[i], places[i + below(place_word, places.size() - i)]);
    const size_t place = places[i];
    targets[place] = tokens[place];
    const double kind = unit_interval(kind_word);
    if (kind < mask_share_) {
      tokens[place] = byte_tokens::mask;
    } else if (kind < mask_share_ + random_share_) {
      tokens[place] = byte_tokens::of_byte(static_cast<uint8_t>(below(byte_word, 256)));
    }
  }
}

}  // namespace interlock
