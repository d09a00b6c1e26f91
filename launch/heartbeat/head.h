#pragma once
// The end of the heartbeats that listens: beside the supervisor, or beside rank 0 where there is none. It takes what
// nodes tell and never does more; whatever peers do, the run goes on.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "launch/heartbeat/secret.h"
#include "runtime/core/listen_address.h"
#include "runtime/observe/pulse.h"

namespace interlock {

class HeartbeatHead {
 public:
  struct Limits {
    double handshake_seconds = 5, silence_seconds = 30;
    int failures_per_minute = 64;  // of one address; more connections from there are closed at once
  };
  // Listens from now on, in a thread of its own. Error(gave_up) with the reason where that cannot be.
  HeartbeatHead(const ListenAddress& where, const Secret& secret, int ranks, Limits limits);
  HeartbeatHead(const ListenAddress& where, const Secret& secret, int ranks)
      : HeartbeatHead(where, secret, ranks, Limits()) {}
  ~HeartbeatHead();
  HeartbeatHead(const HeartbeatHead&) = delete;

  uint16_t port() const;
  // The newest of every rank that was heard of.
  std::vector<PulseRecord> records() const;
  // Seconds since each host that has ever joined was last heard.
  std::map<std::string, double> silence() const;
  // All that have joined tell everything they know of their ranks, soon.
  void ask_for_dumps();
  // All that have joined hear that the run is over, soon.
  void say_stop();

  struct Counts {
    int connections = 0, joined = 0;  // now
    int64_t refused = 0;              // ever: too many, or from an address that failed too often
    int64_t failed = 0;               // ever: no handshake in time, or against the protocol
  };
  Counts counts() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace interlock
