#pragma once
// Byte pair encoding learned from word counts. The result depends on the counts alone: not on threads, files or order.

#include <cstdint>
#include <functional>

#include "runtime/data/tokenizer/content.h"
#include "runtime/data/tokenizer/word_counts.h"

namespace interlock {

struct TrainOptions {
  static constexpr int64_t least_vocabulary = 5 + 256;  // special tokens and bytes
  int64_t vocabulary = 0;
  int64_t min_frequency = 2;                     // a pair seen less often is not merged
  void check() const;                            // Error(usage) for a vocabulary that is too small
  std::function<void(int64_t tokens)> progress;  // may be empty; tokens so far
};

// Ids: <s> 0, <pad> 1, </s> 2, <unk> 3, the bytes in the order of their characters, one for each merge, <mask> last.
// Merges the pair that occurs most often, again and again; of equal ones that of the smaller left id, then of the
// smaller right id. (So does the trainer of `tokenizers`, and ids of bytes and merges are ordered alike, so that the
// merges are the same.) A pair whose text is that of a special token is never merged. The vocabulary is smaller than
// asked when no pair is frequent enough any more.
TokenizerContent train_bpe(const WordCounts& words, const TrainOptions& options);

}  // namespace interlock
