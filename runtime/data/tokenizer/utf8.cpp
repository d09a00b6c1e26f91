// UTF-8 by the table of well-formed sequences.

#include "runtime/data/tokenizer/utf8.h"

#include <algorithm>
#include <cstring>

#include "runtime/core/error.h"

namespace interlock {
namespace {

constexpr std::string_view replacement = "\xEF\xBF\xBD";

uint8_t byte_at(std::string_view text, size_t at) { return static_cast<uint8_t>(text[at]); }

// What a lead byte promises: the sequence's length, its own bits, and the range of the second byte (which keeps out
// overlong forms, surrogates and what lies above U+10FFFF). Length 0: no lead byte.
struct Lead {
  size_t length = 0;
  char32_t bits = 0;
  uint8_t least = 0x80, most = 0xBF;
};

Lead lead_of(uint8_t byte) {
  if (byte < 0x80) return {1, byte};
  if (byte < 0xC2) return {};
  if (byte < 0xE0) return {2, char32_t{byte} & 0x1F};
  if (byte < 0xF0) {
    const uint8_t least = byte == 0xE0 ? 0xA0 : 0x80, most = byte == 0xED ? 0x9F : 0xBF;
    return {3, char32_t{byte} & 0x0F, least, most};
  }
  if (byte < 0xF5) {
    const uint8_t least = byte == 0xF0 ? 0x90 : 0x80, most = byte == 0xF4 ? 0x8F : 0xBF;
    return {4, char32_t{byte} & 0x07, least, most};
  }
  return {};
}

}  // namespace

Utf8Step utf8_step(std::string_view text, size_t at) {
  const Lead lead = lead_of(byte_at(text, at));
  if (lead.length == 0) return {0xFFFD, 1, false, false};
  char32_t character = lead.bits;
  for (size_t part = 1; part < lead.length; ++part) {
    if (at + part == text.size()) return {0xFFFD, part, false, true};
    const uint8_t byte = byte_at(text, at + part);
    const uint8_t least = part == 1 ? lead.least : 0x80, most = part == 1 ? lead.most : 0xBF;
    if (byte < least || byte > most) return {0xFFFD, part, false, false};
    character = character << 6 | (byte & 0x3F);
  }
  return {character, lead.length, true, false};
}

Utf8Step utf8_step_back(std::string_view text, size_t end) {
  for (size_t length = 1; length <= std::min<size_t>(4, end); ++length) {
    if ((byte_at(text, end - length) & 0xC0) == 0x80) continue;
    const Utf8Step step = utf8_step(text.substr(0, end), end - length);
    return step.valid && step.length == length ? step : Utf8Step{0xFFFD, length, false, false};
  }
  return {0xFFFD, 1, false, false};
}

void append_utf8(char32_t character, std::string& text) {
  const auto put = [&](char32_t byte) { text += static_cast<char>(byte); };
  if (character < 0x80) return put(character);
  if (character < 0x800) {
    put(0xC0 | character >> 6);
  } else if (character < 0x10000) {
    put(0xE0 | character >> 12);
    put(0x80 | (character >> 6 & 0x3F));
  } else {
    put(0xF0 | character >> 18);
    put(0x80 | (character >> 12 & 0x3F));
    put(0x80 | (character >> 6 & 0x3F));
  }
  put(0x80 | (character & 0x3F));
}

size_t ascii_end(std::string_view text, size_t at) {
  constexpr uint64_t high_bits = 0x8080808080808080;
  for (uint64_t word = 0; at + sizeof word <= text.size(); at += sizeof word) {
    std::memcpy(&word, text.data() + at, sizeof word);
    if (word & high_bits) break;
  }
  while (at < text.size() && byte_at(text, at) < 0x80) ++at;
  return at;
}

void require_utf8(std::string_view text) {
  for (size_t at = 0; (at = ascii_end(text, at)) < text.size();) {
    const Utf8Step step = utf8_step(text, at);
    if (!step.valid) throw Error(ExitCode::bad_input, message("text is not UTF-8 at byte ", at));
    at += step.length;
  }
}

void Utf8Stream::take(std::string_view bytes, bool last, std::string& text) {
  size_t copied = 0, at = 0;
  const auto copy_until = [&](size_t end) {
    text.append(bytes.substr(copied, end - copied));
    copied = end;
  };
  while ((at = ascii_end(bytes, at)) < bytes.size()) {
    const Utf8Step step = utf8_step(bytes, at);
    if (step.valid) {
      at += step.length;
      continue;
    }
    if (step.cut_short && !last) break;
    if (on_invalid_ == OnInvalid::error)
      throw Error(ExitCode::bad_input,
                  message(name_, ": not UTF-8 at byte ", offset_ + static_cast<int64_t>(at), " (0x", std::hex,
                          static_cast<int>(byte_at(bytes, at)), step.cut_short ? ", a character cut short)" : ")",
                          "; convert the file, or replace such bytes with --invalid-utf8 replace"));
    copy_until(at);
    text += replacement;
    ++replaced_;
    at += step.length;
    copied = at;
  }
  copy_until(at);
  offset_ += static_cast<int64_t>(at);
  pending_.assign(bytes.substr(at));
}

void Utf8Stream::add(std::string_view bytes, std::string& text) {
  // A character that the last piece began: 3 more bytes are enough to end it one way or the other.
  while (!pending_.empty() && !bytes.empty()) {
    const std::string joined = pending_ + bytes.front();
    bytes.remove_prefix(1);
    take(joined, false, text);
  }
  if (!bytes.empty()) take(bytes, false, text);
}

void Utf8Stream::finish(std::string& text) {
  const std::string rest = std::move(pending_);
  pending_.clear();
  if (!rest.empty()) take(rest, true, text);
}

}  // namespace interlock
