#pragma once
// The head of a run's heartbeats, where the config asks for one and somebody can listen; else all of this is nothing.

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "launch/heartbeat/head.h"

namespace interlock {

class Heartbeats {
 public:
  Heartbeats() = default;
  // An address that nobody can listen on is a warning on stderr.
  Heartbeats(const std::optional<ListenAddress>& where, int ranks);

  std::string invitation() const { return invitation_; }  // for rank 0's standard input; "": none
  std::vector<PulseRecord> records() const { return head_ ? head_->records() : std::vector<PulseRecord>(); }
  void ask_for_dumps() {
    if (head_) head_->ask_for_dumps();
  }
  void say_stop() {
    if (head_) head_->say_stop();
  }
  // A line for people when a host falls silent, once for each time that it does; "": nothing new.
  std::string warning();

 private:
  std::unique_ptr<HeartbeatHead> head_;
  std::string invitation_;
  std::set<std::string> silent_;
};

}  // namespace interlock
