// Tokens as text for people.

#include "runtime/data/byte_tokens.h"

#include <array>

namespace interlock::byte_tokens {

std::string shown(int64_t token) {
  static constexpr std::array<const char*, first_byte> specials = {"<s>", "<pad>", "</s>", "<unk>", "<mask>"};
  static constexpr char digits[] = "0123456789abcdef";
  if (token >= 0 && token < first_byte) return specials[static_cast<size_t>(token)];
  if (!is_byte(token)) return "<token " + std::to_string(token) + ">";
  const uint8_t byte = to_byte(token);
  if (byte == '\n') return "\\n";
  if (byte == '\t') return "\\t";
  if (byte == '\\') return "\\\\";
  if (byte >= 0x20 && byte < 0x7f) return std::string(1, static_cast<char>(byte));
  return {'\\', 'x', digits[byte >> 4], digits[byte & 15]};
}

}  // namespace interlock::byte_tokens
