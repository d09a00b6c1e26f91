#pragma once
// The tokenizer itself. Beyond tokenizer.h it encodes documents in parts.

#include <memory>
#include <mutex>

#include "runtime/data/tokenizer.h"
#include "runtime/data/tokenizer/added_tokens.h"
#include "runtime/data/tokenizer/content.h"
#include "runtime/data/tokenizer/merge_table.h"

namespace interlock {

class ByteLevelTokenizer final : public Tokenizer {
 public:
  static std::shared_ptr<const ByteLevelTokenizer> open(const std::string& path);
  explicit ByteLevelTokenizer(TokenizerContent content);  // checked content
  ~ByteLevelTokenizer() override;

  int64_t vocabulary() const override { return static_cast<int64_t>(bytes_.size()); }
  void encode(std::string_view text, std::vector<int32_t>& ids) const override;
  std::string decode(std::span<const int32_t> ids) const override;
  std::string_view bytes_of(int64_t id) const override;
  bool is_special(int64_t id) const override;
  std::string shown(int64_t id) const override;
  Specials specials() const override { return specials_; }
  void save(const std::string& folder) const override;
  std::string fingerprint() const override;

  // A document that is not held as a whole: parts that end where is_cut() allows it give the ids of the whole. The text
  // is known to be UTF-8; `continued`: not the first part.
  void encode_part(std::string_view text, bool continued, std::vector<int32_t>& ids) const;
  // `text` has cut_reach() bytes on both sides of `at`, or ends there with the document.
  bool is_cut(std::string_view text, size_t at) const;
  size_t cut_reach() const;

 private:
  struct Scratch;  // what one thread needs while it encodes
  class Borrowed;
  void encode_ordinary(std::string_view text, Scratch& scratch, std::vector<int32_t>& ids) const;
  void encode_word(std::string_view word, Scratch& scratch, std::vector<int32_t>& ids) const;

  TokenizerContent content_;
  std::vector<std::string> bytes_;  // by id
  std::vector<bool> special_;
  std::array<int32_t, 256> byte_ids_{};
  Specials specials_;
  MergeTable merges_;
  AddedTokens added_;

  // Kept between calls: a cache of words that is cold again for every document would be of little use.
  mutable std::mutex scratches_mutex_;
  mutable std::vector<std::unique_ptr<Scratch>> scratches_;
};

}  // namespace interlock
