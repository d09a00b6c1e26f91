// Ranks as threads: one table of unmatched sends and receives that all ranks share.
#include "parallel/transport/loopback.h"

#include <cassert>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <tuple>

#include "parallel/transport/common_error.h"
#include "parallel/transport/delivery.h"

namespace interlock {
namespace {

// One end of a message. What a receive of any size brings stays in here until the receiver waits, so that nobody writes
// into the variables of a rank that has already failed.
struct End {
  int rank = 0, peer = 0;
  bool any_size = false;
  MessageHeader header;  // of a receive: what is expected, then what came
  Buffer buffer;
  bool matched = false, done = false;
  std::string mismatch;
};

constexpr int every_rank = -1;

struct Failure {
  int rank;  // or every_rank
  ExitCode code;
  std::string reason;
};

class Exchange {
 public:
  explicit Exchange(int size) : size_(size), counters_(size), changed_(size) {}
  int size() const { return size_; }

  void post_send(std::shared_ptr<End> end) { post(std::move(end), true); }
  void post_receive(std::shared_ptr<End> end) { post(std::move(end), false); }

  bool done(const End& end) {
    std::lock_guard lock(mutex_);
    return end.done || (failure_ && !end.matched);
  }

  // A matched message is waited for even when the run has failed: another thread is copying it.
  void wait(const End& end) {
    std::unique_lock lock(mutex_);
    changed_[end.rank].wait(lock, [&] { return end.done || (failure_ && !end.matched); });
    if (failure_) throw Error(failure_->code, message("rank ", failure_->rank, " ended the run: ", failure_->reason));
    if (!end.mismatch.empty()) throw Error(ExitCode::gave_up, end.mismatch);
  }

  void fail(int rank, ExitCode code, const std::string& reason) {
    std::lock_guard lock(mutex_);
    if (!failure_) failure_ = Failure{rank, code, reason};
    for (auto& changed : changed_) changed.notify_all();
  }
  std::optional<Failure> failure() {
    std::lock_guard lock(mutex_);
    return failure_;
  }
  TransportCounters counters(int rank) {
    std::lock_guard lock(mutex_);
    return counters_[rank];
  }

 private:
  using Route = std::tuple<int, int, Lane>;  // from, to
  struct Waiting {
    std::deque<std::shared_ptr<End>> sends, receives;
  };

  void post(std::shared_ptr<End> end, bool is_send) {
    std::unique_lock lock(mutex_);
    const Route route{is_send ? end->rank : end->peer, is_send ? end->peer : end->rank, end->header.lane};
    if (is_send) count_sent(counters_[end->rank], end->header);
    Waiting& waiting = waiting_[route];
    (is_send ? waiting.sends : waiting.receives).push_back(std::move(end));
    if (waiting.sends.empty() || waiting.receives.empty()) return;
    const std::shared_ptr<End> send = std::move(waiting.sends.front());
    const std::shared_ptr<End> receive = std::move(waiting.receives.front());
    waiting.sends.pop_front();
    waiting.receives.pop_front();
    send->matched = receive->matched = true;
    lock.unlock();
    deliver(*send, *receive);
    lock.lock();
    send->done = receive->done = true;
    count_received(counters_[receive->rank], receive->header);
    changed_[send->rank].notify_all();
    changed_[receive->rank].notify_all();
  }

  // Runs unlocked, so that a large copy holds up nobody; both ends are out of the table and nobody else touches them.
  static void deliver(const End& send, End& receive) {
    if (!is_expected(send.header, receive.header, receive.any_size)) {
      receive.mismatch = mismatch_text(receive.rank, send.rank, send.header, receive.header);
      return;
    }
    try {
      if (receive.any_size) receive.buffer = Buffer::allocate(send.header.bytes);
    } catch (const std::bad_alloc&) {
      receive.mismatch = message("rank ", receive.rank, " has no memory for ", describe(send.header));
      return;
    }
    receive.header = send.header;
    if (send.header.bytes) std::memcpy(receive.buffer.data, send.buffer.data, send.header.bytes);
  }

  const int size_;
  std::mutex mutex_;
  std::vector<TransportCounters> counters_;
  std::deque<std::condition_variable> changed_;  // one per rank
  std::map<Route, Waiting> waiting_;
  std::optional<Failure> failure_;
};

class LoopbackHandle final : public Handle {
 public:
  LoopbackHandle(std::shared_ptr<Exchange> exchange, std::shared_ptr<End> end, MessageHeader* header = nullptr,
                 Buffer* payload = nullptr)
      : exchange_(std::move(exchange)), end_(std::move(end)), header_(header), payload_(payload) {}
  bool done() override { return exchange_->done(*end_); }
  void wait() override {
    exchange_->wait(*end_);
    if (header_) *header_ = end_->header;
    if (payload_) *payload_ = end_->buffer;
  }

 private:
  std::shared_ptr<Exchange> exchange_;
  std::shared_ptr<End> end_;
  MessageHeader* header_;
  Buffer* payload_;
};

class LoopbackTransport final : public Transport {
 public:
  LoopbackTransport(std::shared_ptr<Exchange> exchange, int rank) : exchange_(std::move(exchange)), rank_(rank) {}
  int rank() const override { return rank_; }
  int size() const override { return exchange_->size(); }

  std::unique_ptr<Handle> send(int to, const MessageHeader& header, Buffer payload) override {
    assert(payload.bytes >= header.bytes);
    auto end = make_end(to, header, std::move(payload));
    exchange_->post_send(end);
    return std::make_unique<LoopbackHandle>(exchange_, std::move(end));
  }
  std::unique_ptr<Handle> receive(int from, const MessageHeader& expected, Buffer into) override {
    assert(into.bytes >= expected.bytes);
    auto end = make_end(from, expected, std::move(into));
    exchange_->post_receive(end);
    return std::make_unique<LoopbackHandle>(exchange_, std::move(end));
  }
  std::unique_ptr<Handle> receive_any_size(int from, const MessageHeader& expected, MessageHeader* header,
                                           Buffer* payload) override {
    auto end = make_end(from, expected, {});
    end->any_size = true;
    exchange_->post_receive(end);
    return std::make_unique<LoopbackHandle>(exchange_, std::move(end), header, payload);
  }
  void abort(int exit_code, const std::string& reason) override {
    exchange_->fail(rank_, static_cast<ExitCode>(exit_code), reason);
  }
  TransportCounters counters() const override { return exchange_->counters(rank_); }
  std::string description() const override { return message("loopback, ", size(), " threads of one process"); }

 private:
  std::shared_ptr<End> make_end(int peer, const MessageHeader& header, Buffer buffer) const {
    assert(peer >= 0 && peer < size());
    auto end = std::make_shared<End>();
    end->rank = rank_;
    end->peer = peer;
    end->header = header;
    end->buffer = std::move(buffer);
    return end;
  }

  std::shared_ptr<Exchange> exchange_;
  int rank_;
};

std::vector<std::unique_ptr<Transport>> transports_of(const std::shared_ptr<Exchange>& exchange) {
  std::vector<std::unique_ptr<Transport>> transports;
  for (int rank = 0; rank < exchange->size(); ++rank) {
    transports.push_back(std::make_unique<LoopbackTransport>(exchange, rank));
  }
  return transports;
}

void run_rank(Exchange& exchange, Transport& transport, const std::function<void(Transport&)>& body) {
  try {
    body(transport);
  } catch (const CommonError& error) {
    exchange.fail(every_rank, error.code(), error.what());
  } catch (const Error& error) {
    exchange.fail(transport.rank(), error.code(), error.what());
  } catch (const std::exception& error) {
    exchange.fail(transport.rank(), ExitCode::gave_up, error.what());
  }
}

}  // namespace

std::vector<std::unique_ptr<Transport>> make_loopback(int size) {
  assert(size > 0);
  return transports_of(std::make_shared<Exchange>(size));
}

void run_loopback(int size, const std::function<void(Transport&)>& body) {
  assert(size > 0);
  const auto exchange = std::make_shared<Exchange>(size);
  const auto transports = transports_of(exchange);
  std::vector<std::thread> threads;
  try {
    for (const auto& transport : transports)
      threads.emplace_back([&, own = transport.get()] { run_rank(*exchange, *own, body); });
  } catch (const std::system_error& error) {
    // Those that run would wait for it for ever.
    exchange->fail(static_cast<int>(threads.size()), ExitCode::gave_up,
                   message("its thread, of ", size, ", cannot be started (", error.code().message(),
                           "): fewer ranks, a higher ulimit -u or -v, or ranks as processes"));
  }
  for (auto& thread : threads) thread.join();
  // A failure that another one caused comes later than its cause, and the exchange keeps the first.
  if (const auto failure = exchange->failure()) {
    const std::string who = failure->rank == every_rank ? "" : message("rank ", failure->rank, ": ");
    throw Error(failure->code, who + failure->reason);
  }
}

}  // namespace interlock
