#pragma once
// The printable alphabet of byte-level vocabularies: bytes 0x21-7E, A1-AC and AE-FF stand for the characters of the
// same number, the other 68 in order for U+0100 to U+0143. Files hold tokens in this alphabet; inside, we hold bytes.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace interlock {

// The character (UTF-8) that stands for a byte.
const std::string& alphabet_character(uint8_t byte);
// All bytes in the order of their characters: the order of ids 0..255 in GPT-2's vocabulary.
const std::array<uint8_t, 256>& alphabet_order();

std::string to_alphabet(std::string_view bytes);
// The bytes that `characters` stand for; nothing when one of them is not of the alphabet.
std::optional<std::string> from_alphabet(std::string_view characters);

}  // namespace interlock
