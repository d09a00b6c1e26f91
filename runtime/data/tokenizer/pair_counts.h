#pragma once
// The pairs of neighbouring symbols in all distinct words: how often each occurs and where. Kept true while pairs are
// merged, so that a merge costs time for its own places only.

#include <array>
#include <cstdint>
#include <queue>
#include <vector>

#include "runtime/data/tokenizer/word_counts.h"

namespace interlock {

class PairCounts {
 public:
  // The symbol of each byte comes from `byte_symbols`.
  PairCounts(const WordCounts& words, const std::array<int32_t, 256>& byte_symbols);

  struct Best {
    int32_t left = -1, right = -1;
    int64_t count = 0;  // 0: no pair is left
  };
  // The most frequent pair, of equal ones the smallest; it is taken out.
  Best take_best();
  // Writes `symbol` wherever the pair that was just taken stands, from left to right.
  void merge(const Best& pair, int32_t symbol);

 private:
  struct Pair {
    int32_t left = -1, right = -1;
    int64_t count = 0;
    std::vector<uint32_t> places;  // of the left symbol; some are out of date
    bool touched = false;          // since the last merge began
  };
  struct Candidate {  // in the queue; out of date when the pair's count is another
    int64_t count = 0;
    int32_t left = -1, right = -1;
    uint32_t pair = 0;
    bool operator<(const Candidate& other) const;
  };
  Pair& pair_of(int32_t left, int32_t right, uint32_t& index);
  void count(int32_t left, int32_t right, int64_t change, uint32_t place);
  void grow_index();

  static constexpr uint32_t none = UINT32_MAX;
  // One entry for each byte of each distinct word.
  std::vector<int32_t> symbols_;  // -1: merged into the one before
  std::vector<uint32_t> next_, previous_, word_;
  std::vector<int64_t> word_counts_;

  std::vector<Pair> pairs_;
  std::vector<uint32_t> index_;  // hash table of places in pairs_
  std::vector<uint32_t> touched_;
  std::priority_queue<Candidate> queue_;
};

}  // namespace interlock
