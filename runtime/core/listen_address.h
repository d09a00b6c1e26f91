#pragma once
// Where something listens: an IPv4 address in numbers, so that no name has to be looked up, and a port.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace interlock {

struct ListenAddress {
  std::string address;
  uint16_t port = 0;  // 0: any that is free

  // "127.0.0.1:9400"; none: it is no such address.
  static std::optional<ListenAddress> from(std::string_view text);
  std::string text() const { return address + ":" + std::to_string(port); }
  bool is_loopback() const { return address.starts_with("127."); }
};

}  // namespace interlock
