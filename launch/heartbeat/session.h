#pragma once
// Both ends of a connection after the first byte: each proves to the other that it knows the run's secret, for this
// connection alone, before anything else is said. Bytes in, frames and bytes out; no socket and no clock in here.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "launch/heartbeat/frame.h"

namespace interlock {

class Session {
 public:
  enum class Role { head, node };
  // `host`: of a node, its name.
  Session(Role role, const Secret& secret, std::string host = "");

  // What came from the peer: the frames of a peer that has joined. ProtocolError.
  std::vector<Frame> take(std::string_view bytes);
  // Once joined.
  void say(FrameKind kind, std::string_view payload);
  // What is to be sent, and sent once.
  std::string output() { return std::exchange(output_, {}); }
  bool joined() const { return joined_; }
  const std::string& host() const { return host_; }  // of the node, once joined

 private:
  bool shake_hands(const Frame& frame);
  void join();
  bool may_come(FrameKind kind) const;

  Role role_;
  Secret secret_, own_nonce_, other_nonce_{};
  std::string host_;
  FrameWriter writer_;
  FrameReader reader_;
  std::string output_;
  bool greeted_ = false, joined_ = false;
};

}  // namespace interlock
