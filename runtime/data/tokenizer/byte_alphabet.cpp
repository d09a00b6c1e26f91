// Tables of the byte alphabet, made once.

#include "runtime/data/tokenizer/byte_alphabet.h"

#include <algorithm>
#include <numeric>

#include "runtime/data/tokenizer/utf8.h"

namespace interlock {
namespace {

constexpr char32_t first_moved = 0x100, moved = 68;

struct Tables {
  std::array<char32_t, 256> character{};
  std::array<std::string, 256> text;
  std::array<uint8_t, 256> order{};
  std::array<int, first_moved + moved> byte{};  // -1: not of the alphabet

  Tables() {
    byte.fill(-1);
    char32_t next = first_moved;
    for (char32_t value = 0; value < 256; ++value) {
      const bool printable = (value >= 0x21 && value <= 0x7E) || (value >= 0xA1 && value != 0xAD);
      character[value] = printable ? value : next++;
      byte[character[value]] = static_cast<int>(value);
      append_utf8(character[value], text[value]);
    }
    std::iota(order.begin(), order.end(), uint8_t{0});
    std::sort(order.begin(), order.end(),
              [&](uint8_t one, uint8_t other) { return character[one] < character[other]; });
  }
};

const Tables& tables() {
  static const Tables made;
  return made;
}

}  // namespace

const std::string& alphabet_character(uint8_t byte) { return tables().text[byte]; }

const std::array<uint8_t, 256>& alphabet_order() { return tables().order; }

std::string to_alphabet(std::string_view bytes) {
  std::string characters;
  for (const char byte : bytes) characters += alphabet_character(static_cast<uint8_t>(byte));
  return characters;
}

std::optional<std::string> from_alphabet(std::string_view characters) {
  const auto& known = tables().byte;
  std::string bytes;
  for (size_t at = 0; at < characters.size();) {
    const Utf8Step step = utf8_step(characters, at);
    if (!step.valid || step.character >= known.size() || known[step.character] < 0) return std::nullopt;
    bytes += static_cast<char>(known[step.character]);
    at += step.length;
  }
  return bytes;
}

}  // namespace interlock
