// The pattern, and its meaning for ASCII spelled out as loops.

#include "runtime/data/tokenizer/pretokens.h"

#include <array>
#include <cstdint>
#include <vector>

#include "runtime/core/error.h"
#include "runtime/data/tokenizer.h"
#include "runtime/data/tokenizer/pattern.h"
#include "runtime/data/tokenizer/unicode_additions.h"
#include "runtime/data/tokenizer/utf8.h"

namespace interlock {
namespace {

// White space as Unicode's property has it. PCRE2's own \s has U+180E as well, which Unicode took out in 6.3.
#define SPACES R"(\t-\r \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})"

#define LETTERS "\\p{L}" LETTERS_SINCE_UNICODE_15
#define NUMBERS "\\p{N}" NUMBERS_SINCE_UNICODE_15

const Pattern& pretoken_pattern() {
  static const Pattern pattern("'s|'t|'re|'ve|'m|'ll|'d| ?[" LETTERS "]+| ?[" NUMBERS "]+| ?[^" SPACES LETTERS NUMBERS
                               "]+|[" SPACES "]+(?![^" SPACES "])|[" SPACES "]+");
  return pattern;
}

const Pattern& class_pattern() {
  static const Pattern pattern("([" LETTERS "])|([" NUMBERS "])|([" SPACES "])|.");
  return pattern;
}

const Pattern& word_pattern() {
  static const Pattern pattern("([\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}])|.");
  return pattern;
}

const Pattern& invisible_pattern() {
  static const Pattern pattern("([\\p{C}\\p{Zl}\\p{Zp}])|.");
  return pattern;
}

enum Kind : uint8_t { letter, number, space, other, beyond_ascii };

constexpr std::array<Kind, 256> kinds = [] {
  std::array<Kind, 256> table{};
  for (int byte = 0; byte < 256; ++byte) {
    const bool is_letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
    const bool is_number = byte >= '0' && byte <= '9';
    const bool is_space = byte == ' ' || (byte >= '\t' && byte <= '\r');
    table[static_cast<size_t>(byte)] = byte >= 0x80 ? beyond_ascii
                                       : is_letter  ? letter
                                       : is_number  ? number
                                       : is_space   ? space
                                                    : other;
  }
  return table;
}();

Kind kind_at(std::string_view text, size_t at) { return kinds[static_cast<uint8_t>(text[at])]; }

// The end of the contraction at the apostrophe text[at], or `at`.
size_t contraction_end(std::string_view text, size_t at) {
  const char first = at + 1 < text.size() ? text[at + 1] : '\0';
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return at + 2;
  const char second = at + 2 < text.size() ? text[at + 2] : '\0';
  const bool long_one =
      (first == 'r' && second == 'e') || (first == 'v' && second == 'e') || (first == 'l' && second == 'l');
  return long_one ? at + 3 : at;
}

// The end of the pre-token at `at` when ASCII alone decides it; 0 when a character beyond ASCII has a say.
size_t pretoken_end_in_ascii(std::string_view text, size_t at) {
  const size_t size = text.size();
  if (text[at] == '\'') {
    const size_t end = contraction_end(text, at);
    if (end != at) return end;
  }
  size_t end = at;
  if (text[at] == ' ' && at + 1 < size && kind_at(text, at + 1) != space) ++end;
  const Kind kind = kind_at(text, end);
  if (kind == beyond_ascii) return 0;
  while (end < size && kind_at(text, end) == kind) ++end;
  if (end < size && kind_at(text, end) == beyond_ascii) return 0;
  // A run of spaces before something else leaves its last one to that, unless it has only one.
  if (kind == space && end < size && end - at > 1) --end;
  return end;
}

}  // namespace

const char* const gpt2_pattern_in_files =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

size_t pretoken_end_by_pattern(std::string_view text, size_t at) { return pretoken_pattern().at(text, at).end; }

size_t pretoken_end(std::string_view text, size_t at) {
  const size_t end = pretoken_end_in_ascii(text, at);
  return end != 0 ? end : pretoken_end_by_pattern(text, at);
}

CharacterClass class_at(std::string_view text, size_t at) {
  switch (kind_at(text, at)) {
    case letter:
      return CharacterClass::letter;
    case number:
      return CharacterClass::number;
    case space:
      return CharacterClass::space;
    case other:
      return CharacterClass::other;
    case beyond_ascii:
      break;
  }
  switch (class_pattern().at(text, at).group) {
    case 1:
      return CharacterClass::letter;
    case 2:
      return CharacterClass::number;
    case 3:
      return CharacterClass::space;
    default:
      return CharacterClass::other;
  }
}

bool is_word_at(std::string_view text, size_t at) { return word_pattern().at(text, at).group == 1; }

bool is_invisible_at(std::string_view text, size_t at) { return invisible_pattern().at(text, at).group == 1; }

bool is_safe_cut(std::string_view text, size_t at) {
  if ((static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) return false;
  const CharacterClass before = class_at(text, at - utf8_step_back(text, at).length), after = class_at(text, at);
  if (before == CharacterClass::space || before == after) return false;
  return before != CharacterClass::other || after != CharacterClass::letter;
}

std::vector<size_t> pretoken_ends(std::string_view text) {
  require_utf8(text);
  std::vector<size_t> ends;
  for (size_t at = 0; at < text.size();) ends.push_back(at = pretoken_end(text, at));
  return ends;
}

}  // namespace interlock
