// The Transport over MPI: every call becomes an operation for the MPI thread.
#include "parallel/transport/mpi.h"

#include <atomic>
#include <cassert>

#include "parallel/transport/delivery.h"
#include "parallel/transport/mpi_tags.h"
#include "parallel/transport/mpi_thread.h"

namespace interlock {
namespace {

class MpiHandle final : public Handle {
 public:
  MpiHandle(MpiThread& thread, TransportCounters& counters, std::shared_ptr<MpiOperation> operation,
            MessageHeader* header = nullptr, Buffer* payload = nullptr)
      : thread_(thread), counters_(counters), operation_(std::move(operation)), header_(header), payload_(payload) {}
  bool done() override { return thread_.done(*operation_); }
  void wait() override {
    thread_.wait(*operation_);
    if (header_) *header_ = operation_->came;
    if (payload_) *payload_ = operation_->buffer;
    if (operation_->kind != MpiOperation::Kind::send && !counted_) count_received(counters_, operation_->came);
    counted_ = true;
  }

 private:
  MpiThread& thread_;
  TransportCounters& counters_;
  std::shared_ptr<MpiOperation> operation_;
  MessageHeader* header_;
  Buffer* payload_;
  bool counted_ = false;
};

class MpiTransport final : public Transport {
 public:
  explicit MpiTransport(const MpiOptions& options) : thread_(options) {}
  int rank() const override { return thread_.rank(); }
  int size() const override { return thread_.size(); }

  std::unique_ptr<Handle> send(int to, const MessageHeader& header, Buffer payload) override {
    assert(payload.bytes >= header.bytes);
    auto operation = submit(MpiOperation::Kind::send, to, header, std::move(payload));
    count_sent(counters_, header);
    return std::make_unique<MpiHandle>(thread_, counters_, std::move(operation));
  }
  std::unique_ptr<Handle> receive(int from, const MessageHeader& expected, Buffer into) override {
    assert(into.bytes >= expected.bytes);
    auto operation = submit(MpiOperation::Kind::receive, from, expected, std::move(into));
    return std::make_unique<MpiHandle>(thread_, counters_, std::move(operation));
  }
  std::unique_ptr<Handle> receive_any_size(int from, const MessageHeader& expected, MessageHeader* header,
                                           Buffer* payload) override {
    auto operation = submit(MpiOperation::Kind::receive_any_size, from, expected, {});
    return std::make_unique<MpiHandle>(thread_, counters_, std::move(operation), header, payload);
  }
  // The program prints the reason, once, before it calls this: only it knows where errors go.
  void abort(int exit_code, const std::string&) override { thread_.abort(exit_code); }
  TransportCounters counters() const override { return counters_; }
  std::string description() const override { return thread_.description(); }

 private:
  std::shared_ptr<MpiOperation> submit(MpiOperation::Kind kind, int peer, const MessageHeader& header, Buffer buffer) {
    assert(peer >= 0 && peer < size());
    auto operation = std::make_shared<MpiOperation>();
    operation->kind = kind;
    operation->peer = peer;
    operation->tag = lane_tag(header.lane);
    operation->header = header;
    operation->buffer = std::move(buffer);
    thread_.submit(operation);
    return operation;
  }

  MpiThread thread_;
  TransportCounters counters_;
};

}  // namespace

std::unique_ptr<Transport> make_mpi(const MpiOptions& options) {
  if (const LaunchPlace place = launch_place(); !place.no_mpi.empty()) throw Error(ExitCode::config, place.no_mpi);
  static std::atomic<bool> started{false};
  if (started.exchange(true)) throw Error(ExitCode::gave_up, "MPI was started before in this process; it starts once");
  return std::make_unique<MpiTransport>(options);
}

}  // namespace interlock
