#pragma once
// What a rank does beside its training so that others know of it: the first rank of a node tells the head what the
// node's ranks do, and rank 0 is that head, and answers Prometheus, where no supervisor does.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "launch/heartbeat/head.h"
#include "launch/heartbeat/metrics_server.h"
#include "launch/heartbeat/node.h"
#include "parallel/transport/launch_place.h"
#include "runtime/core/listen_address.h"

namespace interlock {

class Transport;

// Nobody who cannot listen keeps a run back: a warning. Null: it is not asked for, or cannot be had.
std::unique_ptr<MetricsServer> serve_metrics(const std::string& run_folder, const std::optional<ListenAddress>& where);

class RankMonitors {
 public:
  struct Settings {
    std::string run_folder;
    std::optional<ListenAddress> listen, metrics;
    bool supervised = false;  // started by our own supervisor
  };
  // Every rank calls it.
  RankMonitors(const Settings& settings, const LaunchPlace& place, Transport& transport);
  // Of ranks that were heard over TCP, where this rank is the head.
  std::vector<PulseRecord> heard() const { return head_ ? head_->records() : std::vector<PulseRecord>(); }

 private:
  std::unique_ptr<HeartbeatHead> head_;
  std::unique_ptr<HeartbeatNode> node_;  // after the head: it ends first
  std::unique_ptr<MetricsServer> metrics_;
};

}  // namespace interlock
