#pragma once
// Internal to the supervisor.

#include <algorithm>
#include <chrono>

namespace interlock {

// For poll(): milliseconds, rounded up. Never negative, which would be without end, and an hour at most: its int holds
// 24 days, and who waits for longer looks again.
inline int poll_timeout(std::chrono::nanoseconds left) {
  const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(left);
  return static_cast<int>(
      std::clamp<std::chrono::milliseconds>(milliseconds, std::chrono::milliseconds(0), std::chrono::hours(1)).count());
}

}  // namespace interlock
