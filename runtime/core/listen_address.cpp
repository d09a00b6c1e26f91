#include "runtime/core/listen_address.h"

#include <arpa/inet.h>

#include <charconv>

namespace interlock {

std::optional<ListenAddress> ListenAddress::from(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  ListenAddress found{std::string(text.substr(0, colon)), 0};
  in_addr ignored{};
  if (inet_pton(AF_INET, found.address.c_str(), &ignored) != 1) return std::nullopt;
  const std::string_view digits = text.substr(colon + 1);
  const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), found.port);
  if (problem != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return found;
}

}  // namespace interlock
