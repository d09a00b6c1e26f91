#pragma once
// The end of the heartbeats on a node: tells the head every second what the node's ranks do. A head that cannot be
// reached costs a warning, and is tried again.

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "launch/heartbeat/head.h"

namespace interlock {

class HeartbeatNode {
 public:
  struct Settings {
    ListenAddress head;
    Secret secret{};
    std::string host;                                 // its name
    std::function<std::vector<PulseRecord>()> ranks;  // of this node; asked by the thread
    std::function<void()> stopped = {};               // the head has said that the run is over
    double seconds_between = 1, patience = 5;         // between beats; for a connection and a handshake
  };
  explicit HeartbeatNode(Settings settings);
  ~HeartbeatNode();
  HeartbeatNode(const HeartbeatNode&) = delete;
  bool joined() const { return joined_; }

 private:
  void keep_telling();
  void pause(double seconds) const;

  Settings settings_;
  std::atomic<bool> ends_{false}, joined_{false};
  std::thread thread_;
};

}  // namespace interlock
