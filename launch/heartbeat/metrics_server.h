#pragma once
// Answers GET /metrics over HTTP with a text that somebody else makes: read-only, on loopback, one answer for each
// connection.

#include <functional>
#include <memory>
#include <string>

#include "runtime/core/listen_address.h"

namespace interlock {

class MetricsServer {
 public:
  // `text` is asked by a thread of the server, at most once a second. Error(gave_up) where nobody can listen.
  MetricsServer(const ListenAddress& where, std::function<std::string()> text);
  ~MetricsServer();
  MetricsServer(const MetricsServer&) = delete;
  uint16_t port() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace interlock
