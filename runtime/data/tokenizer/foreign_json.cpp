#include "runtime/data/tokenizer/foreign_json.h"

#include <array>
#include <charconv>
#include <optional>

namespace interlock {
namespace {

// The number of an escape "\uXXXX" at `at`.
std::optional<unsigned> unit_at(std::string_view text, size_t at) {
  if (text.substr(at, 2) != "\\u" || at + 6 > text.size()) return std::nullopt;
  unsigned unit = 0;
  const char* end = text.data() + at + 6;
  return std::from_chars(text.data() + at + 2, end, unit, 16).ptr == end ? std::optional(unit) : std::nullopt;
}

bool is_high(unsigned unit) { return unit >= 0xd800 && unit < 0xdc00; }
bool is_low(unsigned unit) { return unit >= 0xdc00 && unit < 0xe000; }

}  // namespace

std::string without_foreign_numbers(std::string_view line) {
  static constexpr std::array<std::string_view, 3> words = {"NaN", "-Infinity", "Infinity"};
  std::string text;
  bool in_string = false;
  for (size_t at = 0; at < line.size();) {
    const char c = line[at];
    if (in_string && c == '\\') {
      text += line.substr(at, 2);
      at += 2;
      continue;
    }
    if (c == '"') in_string = !in_string;
    std::string_view found;
    for (const std::string_view word : words)
      if (!in_string && found.empty() && line.substr(at).starts_with(word)) found = word;
    if (found.empty()) {
      text += c;
      ++at;
    } else {
      text += "null";
      at += found.size();
    }
  }
  return text;
}

std::string without_lone_surrogates(std::string_view line, int64_t& replaced) {
  std::string text;
  for (size_t at = 0; at < line.size();) {
    const std::optional<unsigned> unit = unit_at(line, at);
    if (unit && is_high(*unit) && is_low(unit_at(line, at + 6).value_or(0))) {
      text += line.substr(at, 12);
      at += 12;
    } else if (unit && (is_high(*unit) || is_low(*unit))) {
      text += "\\ufffd";
      ++replaced;
      at += 6;
    } else {
      const size_t count = line[at] == '\\' ? 2 : 1;  // an escaped backslash begins no other escape
      text += line.substr(at, count);
      at += count;
    }
  }
  return text;
}

}  // namespace interlock
