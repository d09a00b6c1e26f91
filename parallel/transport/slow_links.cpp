// Every message carries behind its bytes when it may be there. The sender knows: it has counted what is on the link
// before it. The receiver waits for that time.
#include "parallel/transport/slow_links.h"

#include <algorithm>
#include <cassert>
#include <chrono>
#include <cstring>
#include <map>
#include <thread>
#include <utility>

#include "parallel/transport/delivery.h"

namespace interlock {
namespace {

using Clock = std::chrono::steady_clock;  // of the machine, so the same for all its processes
using Stamp = Clock::rep;

MessageHeader stamped(MessageHeader header) {
  header.bytes += sizeof(Stamp);
  return header;
}

Clock::time_point arrival_of(const Buffer& whole, uint64_t bytes) {
  Stamp stamp = 0;
  std::memcpy(&stamp, whole.data + bytes, sizeof stamp);
  return Clock::time_point(Clock::duration(stamp));
}

class SlowReceive final : public Handle {
 public:
  SlowReceive(std::unique_ptr<Handle> inner, Buffer whole, Buffer into, uint64_t bytes)
      : inner_(std::move(inner)), whole_(std::move(whole)), into_(std::move(into)), bytes_(bytes) {}
  bool done() override {
    if (inner_ == nullptr) return true;
    if (!inner_->done()) return false;
    inner_->wait();  // throws what went wrong
    if (Clock::now() < arrival_of(whole_, bytes_)) return false;
    take();
    return true;
  }
  void wait() override {
    if (inner_ == nullptr) return;
    inner_->wait();
    std::this_thread::sleep_until(arrival_of(whole_, bytes_));
    take();
  }

 private:
  void take() {
    std::copy_n(whole_.data, bytes_, into_.data);
    inner_.reset();
    whole_ = {};
  }

  std::unique_ptr<Handle> inner_;  // null: it is there
  Buffer whole_, into_;
  uint64_t bytes_;
};

// Of a size that only the message tells.
class SlowReceiveOfAnySize final : public Handle {
 public:
  SlowReceiveOfAnySize(Transport& inner, int from, const MessageHeader& expected, MessageHeader* header,
                       Buffer* payload)
      : header_(header), payload_(payload), inner_(inner.receive_any_size(from, expected, header, payload)) {}
  bool done() override {
    if (ready_) return true;
    if (!inner_->done()) return false;
    strip();
    return ready_ = Clock::now() >= arrival_;
  }
  void wait() override {
    if (ready_) return;
    strip();
    std::this_thread::sleep_until(arrival_);
    ready_ = true;
  }

 private:
  void strip() {
    if (stripped_) return;
    inner_->wait();
    header_->bytes -= sizeof(Stamp);
    payload_->bytes = header_->bytes;
    arrival_ = arrival_of(*payload_, header_->bytes);
    stripped_ = true;
  }

  MessageHeader* header_;
  Buffer* payload_;
  std::unique_ptr<Handle> inner_;
  Clock::time_point arrival_;
  bool stripped_ = false, ready_ = false;
};

class SlowLinks final : public Transport {
 public:
  SlowLinks(Transport& inner, const LinkSpeed& speed) : inner_(inner), speed_(speed) {
    assert(!inner.uses_device_memory());
  }
  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  bool ordered_pairs() const override { return inner_.ordered_pairs(); }

  std::unique_ptr<Handle> send(int to, const MessageHeader& header, Buffer payload) override {
    const Buffer whole = Buffer::allocate(header.bytes + sizeof(Stamp));
    if (header.bytes > 0) std::memcpy(whole.data, payload.data, header.bytes);
    const Stamp stamp = arrival(to, header.bytes).time_since_epoch().count();
    std::memcpy(whole.data + header.bytes, &stamp, sizeof stamp);
    count_stamp(header);
    return inner_.send(to, stamped(header), whole);
  }
  std::unique_ptr<Handle> receive(int from, const MessageHeader& expected, Buffer into) override {
    const Buffer whole = Buffer::allocate(expected.bytes + sizeof(Stamp));
    auto handle = inner_.receive(from, stamped(expected), whole);
    return std::make_unique<SlowReceive>(std::move(handle), whole, std::move(into), expected.bytes);
  }
  std::unique_ptr<Handle> receive_any_size(int from, const MessageHeader& expected, MessageHeader* header,
                                           Buffer* payload) override {
    return std::make_unique<SlowReceiveOfAnySize>(inner_, from, expected, header, payload);
  }
  void check() override { inner_.check(); }
  void abort(int exit_code, const std::string& reason) override { inner_.abort(exit_code, reason); }
  TransportCounters counters() const override {
    TransportCounters counters = inner_.counters();
    counters.bytes_sent -= stamps_.bytes_sent;
    counters.other_bytes_sent -= stamps_.other_bytes_sent;
    return counters;
  }
  std::string description() const override {
    std::string slower = message(speed_.latency, " s");
    if (speed_.bandwidth > 0) slower = message(speed_.bandwidth, " bytes/s and ", slower);
    return message(inner_.description(), ", with links slowed down to ", slower,
                   " (parallel.link_bandwidth, parallel.link_latency)");
  }

 private:
  // When a message that is sent now has left, after all before it, and crossed.
  Clock::time_point arrival(int to, uint64_t bytes) {
    const auto seconds = [](double number) {
      return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(number));
    };
    Clock::time_point& free_from = free_from_[to];
    free_from = std::max(free_from, Clock::now());
    if (speed_.bandwidth > 0) free_from += seconds(static_cast<double>(bytes) / speed_.bandwidth);
    return free_from + seconds(speed_.latency);
  }
  void count_stamp(const MessageHeader& header) {
    (is_pipeline_message(header) ? stamps_.bytes_sent : stamps_.other_bytes_sent) += sizeof(Stamp);
  }

  Transport& inner_;
  const LinkSpeed speed_;
  std::map<int, Clock::time_point> free_from_;  // by receiver
  TransportCounters stamps_;
};

}  // namespace

std::unique_ptr<Transport> make_slow_links(Transport& inner, const LinkSpeed& speed) {
  return std::make_unique<SlowLinks>(inner, speed);
}

}  // namespace interlock
