#pragma once
// UTF-8: steps over characters, finds what is not UTF-8, and replaces it as Python's errors="replace" does (one U+FFFD
// for each maximal part of a broken sequence, Unicode 3.9, table 3-7).

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace interlock {

struct Utf8Step {
  char32_t character = 0xFFFD;
  size_t length = 0;  // bytes of the character, or of the maximal broken part
  bool valid = false;
  bool cut_short = false;  // broken only because the text ends here; more bytes could complete it
};

// What stands at text[at], at < text.size().
Utf8Step utf8_step(std::string_view text, size_t at);
// The character that ends before `end` (end > 0): its start is end - length. Invalid when no whole one ends there.
Utf8Step utf8_step_back(std::string_view text, size_t end);
void append_utf8(char32_t character, std::string& text);
// Error(bad_input) with the byte offset when `text` is not UTF-8.
void require_utf8(std::string_view text);
// The end of the run of ASCII bytes that starts at `at`.
size_t ascii_end(std::string_view text, size_t at);

// Text that arrives in pieces, which may end inside a character.
class Utf8Stream {
 public:
  enum class OnInvalid { error, replace };
  // `name` is the file, for messages.
  Utf8Stream(OnInvalid on_invalid, std::string name) : on_invalid_(on_invalid), name_(std::move(name)) {}

  // Appends to `text` what is complete. Error(bad_input) names the file and the byte offset of what is not UTF-8.
  void add(std::string_view bytes, std::string& text);
  void finish(std::string& text);
  int64_t replaced() const { return replaced_; }

 private:
  void take(std::string_view bytes, bool last, std::string& text);

  OnInvalid on_invalid_;
  std::string name_;
  std::string pending_;  // at most 3 bytes: the start of a character
  int64_t offset_ = 0;   // in the file, of pending_
  int64_t replaced_ = 0;
};

}  // namespace interlock
