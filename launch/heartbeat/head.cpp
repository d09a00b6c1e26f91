// The listening end over Boost.Asio: one thread, and for each peer a session, a deadline and bounded memory.
#include "launch/heartbeat/head.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <set>

#include "launch/heartbeat/asio.h"
#include "launch/heartbeat/beat.h"
#include "launch/heartbeat/session.h"
#include "runtime/core/blocked_signals.h"
#include "runtime/core/error.h"
#include "runtime/core/log.h"

namespace interlock {
namespace {

constexpr size_t part = 16 << 10, most_unsent = 256 << 10;

}  // namespace

// ---- The head

struct HeartbeatHead::State {
  struct Peer {
    Peer(tcp::socket made, const Secret& secret) : socket(std::move(made)), session(Session::Role::head, secret) {}
    tcp::socket socket;
    Session session;
    std::string address;
    Clock::time_point connected = Clock::now(), heard = Clock::now();
    std::array<char, part> incoming{};
    std::string sending, unsent;
    bool dropped = false;
  };
  using PeerPtr = std::shared_ptr<Peer>;
  struct Failures {
    int64_t minute = 0;
    int count = 0;
  };

  State(const ListenAddress& where, const Secret& run_secret, int count, Limits given)
      : secret(run_secret), ranks(count), limits(given) {
    const tcp::endpoint endpoint = endpoint_of(where);
    acceptor.open(endpoint.protocol());
    fcntl(acceptor.native_handle(), F_SETFD, FD_CLOEXEC);  // not for the mpirun that is started meanwhile
    acceptor.set_option(tcp::acceptor::reuse_address(true));
    acceptor.bind(endpoint);
    acceptor.listen();
    port = acceptor.local_endpoint().port();
    accept();
    look_around();
  }

  // Nodes, and as many again that come back before they are missed.
  size_t most_peers() const { return 2 * static_cast<size_t>(ranks) + 16; }

  void accept() {
    acceptor.async_accept([this](error_code problem, tcp::socket socket) {
      if (problem == asio::error::operation_aborted) return;
      if (!problem) take_in(std::move(socket));
      if (!problem) return accept();
      resting.expires_after(std::chrono::milliseconds(100));  // no descriptors left, say
      resting.async_wait([this](error_code ended) {
        if (!ended) accept();
      });
    });
  }

  void take_in(tcp::socket socket) {
    error_code gone;
    const std::string address = socket.remote_endpoint(gone).address().to_string();
    if (gone || peers.size() >= most_peers() || failed_too_often(address)) {
      ++refused;
      return;
    }
    fcntl(socket.native_handle(), F_SETFD, FD_CLOEXEC);
    const auto peer = std::make_shared<Peer>(std::move(socket), secret);
    peer->address = address;
    peer->socket.set_option(tcp::no_delay(true), gone);
    peers.insert(peer);
    read(peer);
    send(peer);
  }

  bool failed_too_often(const std::string& address) {
    const auto found = failures.find(address);
    return found != failures.end() && found->second.minute == minute() &&
           found->second.count >= limits.failures_per_minute;
  }
  static int64_t minute() {
    return std::chrono::duration_cast<std::chrono::minutes>(Clock::now().time_since_epoch()).count();
  }
  void blame(const std::string& address) {
    ++failed;
    if (failures.size() > 1024) failures.clear();
    Failures& of_address = failures[address];
    if (of_address.minute != minute()) of_address = {minute(), 0};
    ++of_address.count;
  }

  void read(const PeerPtr& peer) {
    peer->socket.async_read_some(asio::buffer(peer->incoming), [this, peer](error_code problem, size_t count) {
      if (peer->dropped) return;
      if (problem) return drop(peer, !peer->session.joined());
      try {
        for (const Frame& frame : peer->session.take({peer->incoming.data(), count})) hear(*peer, frame);
      } catch (const ProtocolError&) {
        return drop(peer, true);
      }
      if (peer->session.joined()) {
        peer->heard = Clock::now();
        const std::lock_guard lock(mutex);
        hosts[peer->session.host()] = peer->heard;
      }
      send(peer);
      read(peer);
    });
  }

  void hear(const Peer&, const Frame& frame) {
    std::vector<PulseRecord> told;
    if (frame.kind == FrameKind::beat)
      told = records_of_beat(frame.payload, ranks);
    else
      told.push_back(record_of_dump(frame.payload, ranks));
    const std::lock_guard lock(mutex);
    for (const PulseRecord& record : told) heard[record.rank] = record;
  }

  // One write at a time; who does not take what is sent is dropped.
  void send(const PeerPtr& peer) {
    peer->unsent += peer->session.output();
    if (peer->unsent.size() > most_unsent) return drop(peer, true);
    if (!peer->sending.empty() || peer->unsent.empty()) return;
    peer->sending = std::exchange(peer->unsent, {});
    asio::async_write(peer->socket, asio::buffer(peer->sending), [this, peer](error_code problem, size_t) {
      peer->sending.clear();
      if (peer->dropped) return;
      if (problem) return drop(peer, !peer->session.joined());
      send(peer);
    });
  }

  void drop(const PeerPtr& peer, bool blamed) {
    if (peer->dropped) return;
    peer->dropped = true;
    if (blamed) blame(peer->address);
    error_code ignored;
    peer->socket.close(ignored);
    peers.erase(peer);
  }

  void look_around() {
    looking.expires_after(seconds_of(std::min(0.25, limits.handshake_seconds / 4)));
    looking.async_wait([this](error_code ended) {
      if (ended) return;
      const Clock::time_point now = Clock::now();
      for (const PeerPtr& peer : std::set<PeerPtr>(peers)) {
        const bool joined = peer->session.joined();
        if (!joined && now - peer->connected > seconds_of(limits.handshake_seconds)) drop(peer, true);
        if (joined && now - peer->heard > seconds_of(limits.silence_seconds)) drop(peer, false);
      }
      {
        const std::lock_guard lock(mutex);
        counts = {static_cast<int>(peers.size()), 0, refused, failed};
        for (const PeerPtr& peer : peers) counts.joined += peer->session.joined();
      }
      look_around();
    });
  }

  void say_to_all(FrameKind kind) {
    for (const PeerPtr& peer : std::set<PeerPtr>(peers)) {
      if (!peer->session.joined()) continue;
      peer->session.say(kind, "");
      send(peer);
    }
  }

  const Secret secret;
  const int ranks;
  const Limits limits;
  asio::io_context io;
  tcp::acceptor acceptor{io};
  asio::steady_timer looking{io}, resting{io};
  std::set<PeerPtr> peers;
  std::map<std::string, Failures> failures;
  int64_t refused = 0, failed = 0;
  uint16_t port = 0;
  mutable std::mutex mutex;  // of what follows
  std::map<int64_t, PulseRecord> heard;
  std::map<std::string, Clock::time_point> hosts;
  Counts counts;
  std::thread thread;
};

HeartbeatHead::HeartbeatHead(const ListenAddress& where, const Secret& secret, int ranks, Limits limits) {
  try {
    state_ = std::make_unique<State>(where, secret, ranks, limits);
  } catch (const boost::system::system_error& problem) {
    throw Error(ExitCode::gave_up, message("cannot listen on ", where.text(), ": ", problem.code().message()));
  }
  state_->thread = std::thread([state = state_.get()] {
    const BlockedSignals blocked;
    for (;;) {
      try {
        state->io.run();
        return;
      } catch (const std::exception& problem) {  // of one peer: the others go on
        log_warning(message("heartbeats: ", problem.what()));
      }
    }
  });
}

HeartbeatHead::~HeartbeatHead() {
  state_->io.stop();
  state_->thread.join();
}

uint16_t HeartbeatHead::port() const { return state_->port; }

std::vector<PulseRecord> HeartbeatHead::records() const {
  const std::lock_guard lock(state_->mutex);
  std::vector<PulseRecord> all;
  for (const auto& [rank, record] : state_->heard) all.push_back(record);
  return all;
}

std::map<std::string, double> HeartbeatHead::silence() const {
  const std::lock_guard lock(state_->mutex);
  std::map<std::string, double> all;
  for (const auto& [host, heard] : state_->hosts)
    all[host] = std::chrono::duration<double>(Clock::now() - heard).count();
  return all;
}

void HeartbeatHead::ask_for_dumps() {
  asio::post(state_->io, [state = state_.get()] { state->say_to_all(FrameKind::dump); });
}

void HeartbeatHead::say_stop() {
  asio::post(state_->io, [state = state_.get()] { state->say_to_all(FrameKind::stop); });
}

HeartbeatHead::Counts HeartbeatHead::counts() const {
  const std::lock_guard lock(state_->mutex);
  return state_->counts;
}

}  // namespace interlock
