#pragma once
// A part of a corpus of bytes as one stream of byte tokens: file after file, an end behind each.

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/data/text_corpus.h"

namespace interlock {

class TextStream {
 public:
  // `corpus` outlives it. Samples of `length` tokens; the last may be shorter.
  TextStream(const TextCorpus& corpus, Split split, int64_t length);

  int64_t samples() const;
  int64_t tokens(int64_t sample) const;
  // Writes the token before a sample (at the beginning an end) and then those of the sample.
  void read(int64_t sample, std::span<int64_t> out) const;
  int64_t ends() const;  // files that end in it

 private:
  const TextCorpus& corpus_;
  int64_t length_;
  std::vector<TextCorpus::Range> ranges_;
  std::vector<int64_t> begins_;  // where each range begins in the stream; and the stream's end
};

}  // namespace interlock
