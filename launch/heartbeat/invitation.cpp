#include "launch/heartbeat/invitation.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

namespace interlock {

std::optional<Invitation> Invitation::from(std::string_view bytes) {
  const size_t line = bytes.find('\n');
  Invitation found;
  if (line == std::string_view::npos || bytes.size() != line + 1 + found.secret.size()) return std::nullopt;
  const auto head = ListenAddress::from(bytes.substr(0, line));
  if (!head) return std::nullopt;
  found.head = *head;
  std::copy_n(bytes.begin() + static_cast<ptrdiff_t>(line) + 1, found.secret.size(), found.secret.begin());
  return found;
}

std::string read_invitation(int descriptor, double seconds) {
  constexpr size_t longest = 256;
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  std::string bytes;
  while (bytes.size() <= longest) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    pollfd watched{descriptor, POLLIN, 0};
    if (left.count() <= 0 || poll(&watched, 1, static_cast<int>(left.count())) == 0) return bytes;
    char part[longest];
    const ssize_t count = read(descriptor, part, sizeof part);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return bytes;
    bytes.append(part, static_cast<size_t>(count));
  }
  return "";
}

}  // namespace interlock
