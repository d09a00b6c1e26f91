// The telling end over Boost.Asio: one thread that does one thing at a time, each with a deadline.
#include "launch/heartbeat/node.h"

#include <algorithm>
#include <array>

#include "launch/heartbeat/asio.h"
#include "launch/heartbeat/beat.h"
#include "launch/heartbeat/session.h"
#include "runtime/core/blocked_signals.h"
#include "runtime/core/error.h"
#include "runtime/core/log.h"

namespace interlock {
namespace {

constexpr size_t part = 16 << 10;

// A socket whose every operation has a deadline; false: it has passed, or the connection is gone.
class Line {
 public:
  bool connect(const tcp::endpoint& where, double seconds) {
    bool done = false;
    socket_.async_connect(where, [&](error_code problem) { done = !problem; });
    return run(seconds) && done;
  }
  bool write(const std::string& bytes, double seconds) {
    if (bytes.empty()) return true;
    bool done = false;
    asio::async_write(socket_, asio::buffer(bytes), [&](error_code problem, size_t) { done = !problem; });
    return run(seconds) && done;
  }
  // Waits for something to read; "" and true: nothing came in time.
  bool read(std::string& bytes, double seconds) {
    bytes.clear();
    error_code failed;
    size_t count = 0;
    bool over = false;
    socket_.async_read_some(asio::buffer(incoming_), [&](error_code problem, size_t read) {
      failed = problem;
      count = read;
      over = true;
    });
    io_.restart();
    io_.run_for(seconds_of(seconds));
    if (!over) {
      socket_.cancel();
      io_.restart();
      io_.run();
      if (failed == asio::error::operation_aborted) return true;
    }
    bytes.assign(incoming_.data(), count);
    return !failed;
  }

 private:
  bool run(double seconds) {
    io_.restart();
    io_.run_for(seconds_of(seconds));
    if (io_.stopped()) return true;
    error_code ignored;
    socket_.close(ignored);
    io_.restart();
    io_.run();
    return false;
  }
  asio::io_context io_;
  tcp::socket socket_{io_};
  std::array<char, part> incoming_{};
};

// From the first byte until the connection ends; whether it ended by the head's word.
class Conversation {
 public:
  Conversation(const HeartbeatNode::Settings& settings, std::atomic<bool>& joined)
      : settings_(settings), joined_(joined), session_(Session::Role::node, settings.secret, settings.host) {}
  bool hold(const std::atomic<bool>& ends) {
    if (!line_.connect(endpoint_of(settings_.head), settings_.patience)) return false;
    const auto deadline = Clock::now() + seconds_of(settings_.patience);
    while (!ends && !session_.joined())
      if (Clock::now() > deadline || !exchange(0.1)) return false;
    joined_ = session_.joined();
    auto next = Clock::now();
    while (!ends) {
      if (Clock::now() >= next) {
        next += seconds_of(settings_.seconds_between);
        for (const std::string& beat : beats_of(settings_.ranks())) session_.say(FrameKind::beat, beat);
      }
      if (!exchange(std::min(0.1, settings_.seconds_between))) return stopped_;
      if (stopped_) return true;
    }
    return false;
  }

 private:
  bool exchange(double seconds) {
    if (!line_.write(session_.output(), settings_.patience)) return false;
    std::string bytes;
    if (!line_.read(bytes, seconds)) return false;
    for (const Frame& frame : session_.take(bytes)) {
      if (frame.kind == FrameKind::stop) stopped_ = true;
      if (frame.kind == FrameKind::dump)
        for (const PulseRecord& record : settings_.ranks()) session_.say(FrameKind::dump, dump_of(record));
    }
    return line_.write(session_.output(), settings_.patience);
  }

  const HeartbeatNode::Settings& settings_;
  std::atomic<bool>& joined_;
  Session session_;
  Line line_;
  bool stopped_ = false;
};

}  // namespace

HeartbeatNode::HeartbeatNode(Settings settings) : settings_(std::move(settings)), thread_([this] { keep_telling(); }) {}

HeartbeatNode::~HeartbeatNode() {
  ends_ = true;
  thread_.join();
}

void HeartbeatNode::pause(double seconds) const {
  for (const auto end = Clock::now() + seconds_of(seconds); !ends_ && Clock::now() < end;)
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
}

void HeartbeatNode::keep_telling() {
  const BlockedSignals blocked;
  bool told = false;
  for (double rest = 1; !ends_; rest = std::min(2 * rest, 30.0)) {
    std::string why = "it cannot be reached";
    bool over = false;
    try {
      over = Conversation(settings_, joined_).hold(ends_);
    } catch (const std::exception& problem) {
      why = problem.what();
    }
    if (joined_.exchange(false)) {
      rest = 1;
      told = false;
      why = "the connection has ended";
    }
    if (over) {
      if (settings_.stopped && !ends_) settings_.stopped();
      return;
    }
    if (ends_) return;
    if (!told)
      log_warning(
          message("no heartbeats to ", settings_.head.text(), ": ", why, "; it is tried again, and the run goes on"));
    told = true;
    pause(rest);
  }
}

}  // namespace interlock
