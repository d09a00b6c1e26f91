#pragma once
// A fixed regular expression of ours, compiled once by PCRE2 (JIT where the machine has it). Patterns that come from
// files are never compiled.

#include <cstddef>
#include <string_view>

namespace interlock {

class Pattern {
 public:
  explicit Pattern(const char* text);  // matches only where it is asked to
  ~Pattern();
  Pattern(const Pattern&) = delete;

  struct Match {
    size_t end = 0;
    int group = 0;  // the last group that took part, 0 when none did
  };
  // The match at text[at]; the text must be valid UTF-8 and the pattern one that matches there.
  Match at(std::string_view text, size_t at) const;

 private:
  void* code_ = nullptr;
  bool compiled_to_machine_code_ = false;
};

}  // namespace interlock
