#pragma once
// What attention remembers of the tokens of a text, so that one more token costs one row and not the whole text again.
// Only causal blocks use it, outside training.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <utility>

namespace interlock {

struct KeyValueCache {
  int64_t capacity = 0;  // tokens that a sample may have in all
  // int64 [samples, new]: where the tokens that are computed now stand in their texts. Each is looked at by those that
  // stand behind it; a place that is written again holds the newer token.
  at::Tensor positions;
  int64_t filled = 0;  // places below it may hold something: one more than the largest position so far
  // By the number that a block draws with: keys and values, [samples, capacity, width].
  std::map<uint64_t, std::pair<at::Tensor, at::Tensor>> layers;
};

}  // namespace interlock
