#include "launch/supervisor/heartbeats.h"

#include <cmath>
#include <cstdio>

#include "launch/heartbeat/invitation.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

constexpr double silence = 10;  // seconds; nodes tell every second

}  // namespace

Heartbeats::Heartbeats(const std::optional<ListenAddress>& where, int ranks) {
  if (!where) return;
  try {
    const Secret secret = random_bytes();
    head_ = std::make_unique<HeartbeatHead>(*where, secret, ranks);
    invitation_ = Invitation{{where->address, head_->port()}, secret}.bytes();
  } catch (const Error& error) {
    std::fputs(message("interlock: warning: monitor.listen: ", error.what(),
                       "; the ranks are watched through the run folder alone\n")
                   .c_str(),
               stderr);
  }
}

std::string Heartbeats::warning() {
  std::string text;
  if (!head_) return text;
  for (const auto& [host, seconds] : head_->silence()) {
    if (seconds < silence) {
      silent_.erase(host);
    } else if (silent_.insert(host).second) {
      text += message("interlock: warning: no heartbeat from ", host, " for ", std::lround(seconds),
                      " s; the run goes on as long as its ranks do\n");
    }
  }
  return text;
}

}  // namespace interlock
