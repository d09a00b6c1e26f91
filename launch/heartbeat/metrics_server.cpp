// HTTP/1.1 in as many words as Prometheus needs, over Boost.Asio.
#include "launch/heartbeat/metrics_server.h"

#include <fcntl.h>

#include <array>
#include <set>
#include <thread>

#include "launch/heartbeat/asio.h"
#include "runtime/core/blocked_signals.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

constexpr size_t longest_request = 8 << 10, most_visitors = 16;
constexpr auto patience = std::chrono::seconds(5);

std::string answer(const std::string& status, const std::string& body) {
  return message("HTTP/1.1 ", status,
                 "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: ", body.size(),
                 "\r\nConnection: close\r\n\r\n", body);
}

}  // namespace

struct MetricsServer::State {
  struct Visitor {
    explicit Visitor(tcp::socket made) : socket(std::move(made)), deadline(socket.get_executor()) {}
    tcp::socket socket;
    asio::steady_timer deadline;
    std::array<char, 1024> part{};
    std::string request, response;
  };
  using VisitorPtr = std::shared_ptr<Visitor>;

  State(const ListenAddress& where, std::function<std::string()> made) : make_text(std::move(made)) {
    const tcp::endpoint endpoint = endpoint_of(where);
    acceptor.open(endpoint.protocol());
    fcntl(acceptor.native_handle(), F_SETFD, FD_CLOEXEC);  // not for the mpirun that is started meanwhile
    acceptor.set_option(tcp::acceptor::reuse_address(true));
    acceptor.bind(endpoint);
    acceptor.listen();
    accept();
  }

  void accept() {
    acceptor.async_accept([this](error_code problem, tcp::socket socket) {
      if (problem == asio::error::operation_aborted) return;
      if (!problem && visitors.size() < most_visitors) take_in(std::move(socket));
      if (!problem) return accept();
      resting.expires_after(std::chrono::milliseconds(100));  // no descriptors left, say
      resting.async_wait([this](error_code ended) {
        if (!ended) accept();
      });
    });
  }

  void take_in(tcp::socket socket) {
    const auto visitor = std::make_shared<Visitor>(std::move(socket));
    visitors.insert(visitor);
    visitor->deadline.expires_after(patience);
    visitor->deadline.async_wait([this, visitor](error_code ended) {
      if (!ended) leave(visitor);
    });
    read(visitor);
  }

  void leave(const VisitorPtr& visitor) {
    error_code ignored;
    visitor->deadline.cancel(ignored);
    visitor->socket.close(ignored);
    visitors.erase(visitor);
  }

  void read(const VisitorPtr& visitor) {
    visitor->socket.async_read_some(asio::buffer(visitor->part), [this, visitor](error_code problem, size_t count) {
      if (problem) return leave(visitor);
      visitor->request.append(visitor->part.data(), count);
      if (visitor->request.find("\r\n\r\n") != std::string::npos) return respond(visitor);
      if (visitor->request.size() > longest_request) return leave(visitor);
      read(visitor);
    });
  }

  void respond(const VisitorPtr& visitor) {
    const std::string& request = visitor->request;
    const bool asked = request.starts_with("GET /metrics ") || request.starts_with("GET /metrics?");
    visitor->response = asked                         ? answer("200 OK", text())
                        : request.starts_with("GET ") ? answer("404 Not Found", "/metrics is all there is\n")
                                                      : answer("405 Method Not Allowed", "GET only\n");
    asio::async_write(visitor->socket, asio::buffer(visitor->response), [this, visitor](error_code, size_t) {
      error_code ignored;
      visitor->socket.shutdown(tcp::socket::shutdown_both, ignored);
      leave(visitor);
    });
  }

  const std::string& text() {
    if (last_text.empty() || Clock::now() - made_at > std::chrono::seconds(1)) {
      try {
        last_text = make_text();
      } catch (const std::exception& problem) {
        last_text = message("# ", problem.what(), "\n");
      }
      made_at = Clock::now();
    }
    return last_text;
  }

  std::function<std::string()> make_text;
  asio::io_context io;
  tcp::acceptor acceptor{io};
  asio::steady_timer resting{io};
  std::set<VisitorPtr> visitors;
  std::string last_text;
  Clock::time_point made_at;
  std::thread thread;
};

MetricsServer::MetricsServer(const ListenAddress& where, std::function<std::string()> text) {
  try {
    state_ = std::make_unique<State>(where, std::move(text));
  } catch (const boost::system::system_error& problem) {
    throw Error(ExitCode::gave_up, message("cannot listen on ", where.text(), ": ", problem.code().message()));
  }
  state_->thread = std::thread([state = state_.get()] {
    const BlockedSignals blocked;
    state->io.run();
  });
}

MetricsServer::~MetricsServer() {
  state_->io.stop();
  state_->thread.join();
}

uint16_t MetricsServer::port() const {
  error_code ignored;
  return state_->acceptor.local_endpoint(ignored).port();
}

}  // namespace interlock
