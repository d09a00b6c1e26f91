#pragma once
// Finds added tokens in text as `tokenizers` does: the leftmost, of those the longest, without overlaps; those that are
// not `normalized` first, the others in the text between.

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "runtime/data/tokenizer/content.h"

namespace interlock {

class AddedTokens {
 public:
  explicit AddedTokens(std::vector<AddedToken> tokens);
  AddedTokens(const AddedTokens&) = delete;  // the passes point into tokens_

  struct Piece {
    size_t begin = 0, end = 0;
    int32_t id = -1;  // -1: ordinary text
  };
  // All of `text` in order. Valid UTF-8.
  void split(std::string_view text, std::vector<Piece>& pieces) const;

  // Whether one of them, as it stands in the text, reaches from `at` or before to `at` or behind. Only then can a cut
  // at a safe place of the ordinary text (is_safe_cut) change what is found: matches end before the cut or start
  // behind it, a neighbour that single_word asks for is on the same side, and since the character before the cut is no
  // space, the white space that lstrip and rstrip take ends at it. `text` needs longest() bytes on both sides of `at`.
  bool touches(std::string_view text, size_t at) const;
  size_t longest() const { return longest_; }

 private:
  // One pass: tokens by their first byte, longest first.
  struct Pass {
    std::array<std::vector<const AddedToken*>, 256> by_first_byte;
    int only_first_byte = -1;  // when there is but one, for memchr
    bool empty = true;
    const AddedToken* at(std::string_view text, size_t at) const;
    size_t next_candidate(std::string_view text, size_t from) const;
  };
  void add_to(Pass& pass, const AddedToken& token);
  void split(const Pass& pass, std::string_view text, Piece part, std::vector<Piece>& pieces) const;

  std::vector<AddedToken> tokens_;
  Pass first_, second_;
  size_t longest_ = 0;
};

}  // namespace interlock
