#pragma once
// [monitor]: how long the ranks of a run may get nowhere before they are taken to hang.

#include <optional>

#include "runtime/core/config.h"
#include "runtime/core/listen_address.h"

namespace interlock {

struct MonitorSettings {
  int64_t stall_seconds = 60;        // in a step; 5 median steps when these are longer
  int64_t startup_seconds = 600;     // until the first step is done
  int64_t evaluation_seconds = 60;   // in an evaluation; as stall_seconds where nothing is said
  int64_t checkpoint_seconds = 600;  // in a checkpoint and at the end; as startup_seconds where nothing is said

  // Where the head of the heartbeats listens, and where Prometheus is answered; none: nobody does.
  std::optional<ListenAddress> listen = {}, metrics = {};

  static MonitorSettings from(const Section& monitor);
};

}  // namespace interlock
