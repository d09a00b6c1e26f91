// UTF-8, one character after another (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF).

#include "runtime/core/printable.h"

#include <algorithm>
#include <cstdint>

#include "runtime/core/error.h"

namespace interlock {
namespace {

enum class Newlines : uint8_t { escaped, kept };

unsigned char byte_at(std::string_view text, size_t at) { return static_cast<unsigned char>(text[at]); }

// The bytes that a character beginning with `first` has; 0 when none begins so.
size_t length_by(unsigned char first) {
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return 2;
  if (first >= 0xe0 && first <= 0xef) return 3;
  return first >= 0xf0 && first <= 0xf4 ? 4 : 0;
}

bool fits_second(unsigned char first, unsigned char second) {
  const unsigned char least = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
  const unsigned char most = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
  return second >= least && second <= most;
}

// How many bytes at `at` are the (perhaps cut) beginning of a character; its whole length goes to `length`.
size_t begun(std::string_view text, size_t at, size_t& length) {
  length = length_by(byte_at(text, at));
  size_t have = length == 0 ? 0 : 1;
  while (have > 0 && have < length && at + have < text.size()) {
    const unsigned char next = byte_at(text, at + have);
    const bool fits = have == 1 ? fits_second(byte_at(text, at), next) : (next & 0xc0) == 0x80;
    if (!fits) return 0;
    ++have;
  }
  return have;
}

void append_hex(std::string& out, const char* prefix, unsigned value) {
  static constexpr char digits[] = "0123456789abcdef";
  out += prefix;
  out += digits[value >> 4];
  out += digits[value & 15];
}

void append_control(std::string& out, unsigned value, Newlines newlines) {
  if (newlines == Newlines::kept && (value == '\n' || value == '\t')) {
    out += static_cast<char>(value);
  } else if (value == '\n') {
    out += "\\n";
  } else if (value == '\t') {
    out += "\\t";
  } else {
    append_hex(out, "\\u00", value);
  }
}

// U+202A to U+202E (E2 80 AA to AE) and U+2066 to U+2069 (E2 81 A6 to A9), by which a name reads as another.
bool turns_direction(std::string_view character) {
  const unsigned char second = byte_at(character, 1), third = byte_at(character, 2);
  return byte_at(character, 0) == 0xe2 &&
         ((second == 0x80 && third >= 0xaa && third <= 0xae) || (second == 0x81 && third >= 0xa6 && third <= 0xa9));
}

// `rest`: where a character that is cut at the end is left; null: its bytes are no UTF-8.
std::string shown(std::string_view text, Newlines newlines, std::string* rest) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    size_t length = 0;
    const size_t have = begun(text, at, length);
    if (have > 0 && have < length && rest != nullptr) {
      *rest = text.substr(at);
      return out;
    }
    if (have == 0 || have < length) {
      append_hex(out, "\\x", byte_at(text, at++));
      continue;
    }
    const unsigned first = byte_at(text, at), second = length == 2 ? byte_at(text, at + 1) : 0;
    const bool c1 = first == 0xc2 && second <= 0x9f;
    if (first < 0x20 || first == 0x7f || c1) {
      append_control(out, c1 ? second : first, newlines);
    } else if (length == 3 && turns_direction(text.substr(at, 3))) {
      append_hex(out, "\\u20", (byte_at(text, at + 1) & 0x3U) << 6 | (byte_at(text, at + 2) & 0x3fU));
    } else {
      out += text.substr(at, length);
    }
    at += length;
  }
  return out;
}

}  // namespace

std::string printable(std::string_view text) { return shown(text, Newlines::escaped, nullptr); }
std::string printable_lines(std::string_view text) { return shown(text, Newlines::kept, nullptr); }

bool has_controls(std::string_view text) {
  for (size_t at = 0; at < text.size(); ++at) {
    const unsigned char first = byte_at(text, at);
    if (first < 0x20 || first == 0x7f) return true;
    if (first == 0xc2 && at + 1 < text.size() && byte_at(text, at + 1) <= 0x9f) return true;
    if (first == 0xe2 && at + 2 < text.size() && turns_direction(text.substr(at, 3))) return true;
  }
  return false;
}

std::string PrintableStream::feed(std::string_view piece) {
  std::string all = std::move(held_);
  held_.clear();
  all += piece;
  return shown(all, Newlines::kept, &held_);
}

std::string PrintableStream::finish() {
  const std::string rest = printable_lines(held_);
  held_.clear();
  return rest;
}

bool is_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    size_t length = 0;
    if (begun(text, at, length) != length || length == 0) return false;
    at += length;
  }
  return true;
}

std::string toml_quoted(const std::string& text, const std::string& what) {
  if (!is_utf8(text))
    throw Error(ExitCode::config,
                message(what, " ", printable(text), " is not UTF-8, and configs are; give it another name"));
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') out += '\\';
    if (byte < 0x20 || byte == 0x7f) {
      append_hex(out, "\\u00", byte);
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string toml_quoted(const std::vector<std::string>& texts, const std::string& what) {
  std::string out = "[";
  for (const std::string& text : texts) out += (out.size() > 1 ? ", " : "") + toml_quoted(text, what);
  return out + "]";
}

}  // namespace interlock
