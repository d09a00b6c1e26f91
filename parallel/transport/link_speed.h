#pragma once

namespace interlock {

// What links between ranks are slowed down to (slow_links.h).
struct LinkSpeed {
  double bandwidth = 0;  // bytes per second from one rank to another, all lanes together; 0: as it is
  double latency = 0;    // seconds
  bool slowed() const { return bandwidth > 0 || latency > 0; }
};

}  // namespace interlock
