#pragma once
// Where sentences end, found from ids alone. A sentence ends after a pre-token that contains a line feed, and with its
// document; where that is asked for, by its punctuation too. The pattern of byte-level BPE puts line feeds into
// pre-tokens of white space only, and there it says: a run of white space is one pre-token at the end of the text, and
// otherwise leaves its last character to what follows. So only the run around a line feed has to be decoded; all other
// tokens cost one table look-up.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/data/punctuation.h"
#include "runtime/data/tokenizer.h"

namespace interlock {

// punctuation: at line feeds too; token: after every token, for samples that are cut where they are full.
enum class SentenceRule { line, punctuation, token };

class SentenceTable {  // what the search needs of a vocabulary; keeps a reference to the tokenizer
 public:
  explicit SentenceTable(const Tokenizer& tokenizer, SentenceRule rule = SentenceRule::line);
  bool is_plain(int32_t id) const { return kinds_[static_cast<size_t>(id)] == plain; }  // no line feed, not special
  bool is_special(int32_t id) const { return kinds_[static_cast<size_t>(id)] == special; }
  SentenceRule rule() const { return rule_; }
  Punctuation punctuation(int32_t id) const { return punctuation_[static_cast<size_t>(id)]; }
  std::string_view bytes_of(int32_t id) const { return tokenizer_.bytes_of(id); }

 private:
  enum Kind : uint8_t { plain, line_feed, special };
  const Tokenizer& tokenizer_;
  SentenceRule rule_;
  std::vector<Kind> kinds_;
  std::vector<Punctuation> punctuation_;  // by id, under that rule
};

// Takes the tokens of one document in order and says the ends of its sentences. A special token in the text ends a run
// as the end of the text does, since text is cut there before anything else. (Ids of another scheme may have line feeds
// and letters in one token; a sentence then ends with that token.)
class SentenceEnds {
 public:
  explicit SentenceEnds(const SentenceTable& table) : table_(table) {}

  // Positions are numbers of tokens from the beginning of the document.
  struct Found {
    std::vector<int64_t> ends;      // ascending; may lie some tokens before those that decide them
    std::vector<int64_t> specials;  // where special tokens stand
  };
  // Appends what the next tokens tell. The ids must be in the vocabulary.
  void add(std::span<const int32_t> ids, Found& found);
  // Appends the end of the document, if it has tokens. Ready for the next document then.
  void finish(Found& found);

 private:
  void end_everywhere(std::span<const int32_t> ids, Found& found);
  void look_for_stop(int32_t id, int64_t position, Found& found);
  void add_token(int32_t id, int64_t position, Found& found);
  void add_byte(char byte, int64_t position, Found& found);
  void open(int64_t position);
  void close();
  void say(int64_t end, Found& found);

  const SentenceTable& table_;
  int64_t position_ = 0, said_ = 0;
  // The text so far ends with a mark; with a full-width one; with white space behind it.
  bool stopped_ = false, full_ = false, spaced_ = false;
  // The run of white space that is open: it begins with its first line feed, what stands before does not matter.
  bool open_ = false, several_ = false, ends_with_feed_ = false;
  int64_t end_ = 0, before_last_ = 0;  // tokens up to its last character, and up to the one before
  std::string partial_;                // bytes of a character that is not whole yet
};

}  // namespace interlock
