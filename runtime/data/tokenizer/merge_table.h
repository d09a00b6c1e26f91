#pragma once
// The merges by pair: what byte pair encoding asks for most. A hash table that is filled once and never more than half
// full.

#include <cstdint>
#include <vector>

#include "runtime/data/tokenizer/content.h"

namespace interlock {

class MergeTable {
 public:
  static constexpr uint32_t no_merge = UINT32_MAX;
  struct Found {
    uint32_t rank = no_merge;
    int32_t result = -1;
  };

  explicit MergeTable(const std::vector<Merge>& merges);

  Found find(int32_t left, int32_t right) const {
    const uint64_t pair = key(left, right);
    for (uint64_t slot = hash(pair) & mask_;; slot = (slot + 1) & mask_) {
      if (slots_[slot].pair == pair) return slots_[slot].found;
      if (slots_[slot].pair == nothing) return {};
    }
  }

 private:
  static constexpr uint64_t nothing = UINT64_MAX;  // ids are not negative
  struct Slot {
    uint64_t pair = nothing;
    Found found;
  };
  static uint64_t key(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  // Multiplication by 2^64 / golden ratio (Fibonacci hashing); the high half is the well mixed one.
  static uint64_t hash(uint64_t pair) { return (pair * 0x9E3779B97F4A7C15) >> 32; }

  std::vector<Slot> slots_;
  uint64_t mask_ = 0;
};

// Performs merges on one word: again and again the pair of the lowest rank, of those the leftmost. Keeps its memory
// between words.
class WordMerger {
 public:
  // `symbols` starts as one token for each byte. A word beyond 4 G symbols is none (checked by the caller).
  void merge(const MergeTable& table, std::vector<int32_t>& symbols);

 private:
  void merge_by_queue(const MergeTable& table, std::vector<int32_t>& symbols);

  std::vector<MergeTable::Found> pairs_;  // of the symbol at this place with the next
  std::vector<uint32_t> next_, previous_;
  std::vector<uint64_t> queue_;
};

}  // namespace interlock
