#pragma once
// What all processes of a run know and nobody else: 32 random bytes. It travels over inherited descriptors and MPI
// only, never as an argument or in the environment.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace interlock {

using Secret = std::array<uint8_t, 32>;

Secret random_bytes();  // of the kernel; Error(gave_up) where it has none

// HMAC-SHA-256 (RFC 2104) by OpenSSL.
Secret authentication_code(const Secret& key, std::string_view text);
// Takes as long whether they differ early or late.
bool equal_codes(const Secret& one, std::string_view other);
inline std::string_view text_of(const Secret& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace interlock
