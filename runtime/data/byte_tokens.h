#pragma once
// The byte-level vocabulary: five special tokens, then one token per byte.

#include <cstdint>
#include <string>

namespace interlock::byte_tokens {

inline constexpr int64_t begin = 0, pad = 1, end = 2, unknown = 3, mask = 4;  // <s> <pad> </s> <unk> <mask>
inline constexpr int64_t first_byte = 5;
inline constexpr int64_t vocabulary = first_byte + 256;

inline constexpr int64_t of_byte(uint8_t byte) { return first_byte + byte; }
inline constexpr bool is_byte(int64_t token) { return token >= first_byte && token < vocabulary; }
inline constexpr uint8_t to_byte(int64_t token) { return static_cast<uint8_t>(token - first_byte); }

// One token for people: a printable byte as it is, others escaped (\n, \t, \\, \xNN), specials as <s>.
std::string shown(int64_t token);

}  // namespace interlock::byte_tokens
