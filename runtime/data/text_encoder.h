#pragma once
// Texts to tokens for datasets and commands: a tokenizer's, or bytes.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/data/tokenizer.h"

namespace interlock {

class TextEncoder {
 public:
  // Null: bytes. Error(bad_input) names what of <s>, </s> and <pad> a tokenizer lacks, which lies in `path`.
  explicit TextEncoder(std::shared_ptr<const Tokenizer> tokenizer, const std::string& path = "");

  void encode(std::string_view text, std::vector<int32_t>& ids) const;  // appended; without a frame
  // One text in its frame, <s> A </s>; a pair is <s> A </s></s> B </s>. At most `most` (4 or more) tokens: of what is
  // longer the end is cut, of a pair that of the longer text first. Returns how many were cut away.
  int64_t encode_sample(std::string_view first, const std::string_view* second, int64_t most,
                        std::vector<int32_t>& ids) const;

  int64_t vocabulary() const;
  int64_t begin() const { return specials_.begin; }
  int64_t pad() const { return specials_.pad; }
  int64_t end() const { return specials_.end; }
  std::string shown(int64_t id) const;
  const std::shared_ptr<const Tokenizer>& tokenizer() const { return tokenizer_; }

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  Tokenizer::Specials specials_;
};

}  // namespace interlock
