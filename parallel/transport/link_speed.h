#pragma once

#include <string>

#include "runtime/core/error.h"

namespace interlock {

// What links between ranks are slowed down to (slow_links.h).
struct LinkSpeed {
  double bandwidth = 0;  // bytes per second from one rank to another, all lanes together; 0: as it is
  double latency = 0;    // seconds
  bool slowed() const { return bandwidth > 0 || latency > 0; }
};

// "slowed down to 1e+06 bytes/s and 0.01 s", of links that are.
inline std::string slowed_text(const LinkSpeed& links) {
  std::string text = "slowed down to ";
  if (links.bandwidth > 0) text += message(links.bandwidth, " bytes/s");
  if (links.latency > 0) text += message(links.bandwidth > 0 ? " and " : "", links.latency, " s");
  return text;
}

}  // namespace interlock
