// The Transport: one communicator of two ranks per ordered pair, so that a message waits for none of the other
// direction and none of another rank.
#include "parallel/transport/nccl/nccl.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <map>
#include <tuple>

#include "parallel/transport/control_lanes.h"
#include "parallel/transport/delivery.h"
#include "parallel/transport/group.h"
#include "parallel/transport/nccl/collectives.h"
#include "parallel/transport/nccl/link.h"
#include "runtime/core/log.h"
#include "runtime/core/lost.h"

namespace interlock {
namespace {

// Thread blocks of a call between two ranks. A call that waits for its other side keeps them, so all streams together
// must fit the GPU beside each other: that no call waits in a circle is proved for streams that do.
constexpr int pair_blocks = 4;

// A lane of the host's transport for the headers of one of NCCL's.
Lane header_lane(const Lane& lane) {
  return {MessageKind::report, first_header_lane + 2 * lane.boundary + (lane.kind == MessageKind::gradient),
          lane.stream};
}

class NcclHandle final : public Handle {
 public:
  NcclHandle(NcclWatch& watch, std::shared_ptr<NcclOperation> operation)
      : watch_(watch), operation_(std::move(operation)) {}
  bool done() override { return watch_.done(*operation_); }
  void wait() override { watch_.wait(*operation_); }
  void join() override { watch_.order_compute(*operation_); }

 private:
  NcclWatch& watch_;
  std::shared_ptr<NcclOperation> operation_;
};

// Of a message whose header comes over the host's transport. A mismatch is told even where NCCL hangs over it.
class CheckedHandle final : public Handle {
 public:
  CheckedHandle(std::unique_ptr<Handle> data, std::unique_ptr<Handle> header, Buffer came, MessageHeader expected,
                int rank, int from)
      : data_(std::move(data)),
        header_(std::move(header)),
        came_(std::move(came)),
        expected_(expected),
        rank_(rank),
        from_(from) {}
  bool done() override { return header_->done() && data_->done(); }
  void wait() override {
    compare();
    data_->wait();
  }
  void join() override {
    compare();
    data_->join();
  }

 private:
  void compare() {
    header_->wait();
    MessageHeader came;
    std::memcpy(&came, came_.data, sizeof came);
    if (!is_expected(came, expected_, false))
      throw Error(ExitCode::gave_up, mismatch_text(rank_, from_, came, expected_));
  }

  std::unique_ptr<Handle> data_, header_;
  Buffer came_;
  const MessageHeader expected_;
  const int rank_, from_;
};

class NcclTransport final : public Transport {
 public:
  NcclTransport(Transport& host, NcclCalls& calls, const NcclOptions& options)
      : host_(host),
        calls_(calls),
        check_headers_(options.check_headers),
        watch_(calls, host.rank(), NcclWatch::Seconds(options.limit_seconds),
               [&host, stuck = options.stuck](const std::string& reason) {
                 if (stuck) return stuck(reason);
                 say_error(reason);
                 host.abort(static_cast<int>(lost_rank), reason);
               }),
        one_byte_(calls.allocate(1), [&calls](void* memory) { calls.release(memory); }) {
    check_room(options);
    connect(options.pairs);
  }
  ~NcclTransport() override {
    // What a rank leaves open it will never miss; the others' calls must not wait for it.
    for (auto& [pair, link] : links_) link.reset();
  }

  int rank() const override { return host_.rank(); }
  int size() const override { return host_.size(); }
  bool ordered_pairs() const override { return true; }
  bool uses_device_memory() const override { return true; }

  std::unique_ptr<Handle> send(int to, const MessageHeader& header, Buffer payload) override {
    if (!is_pipeline_message(header)) return host_.send(to, header, std::move(payload));
    assert(payload.bytes >= header.bytes);
    if (check_headers_) send_header(to, header);
    count_sent(counters_, header);
    return move(true, to, header, payload);
  }
  std::unique_ptr<Handle> receive(int from, const MessageHeader& expected, Buffer into) override {
    if (!is_pipeline_message(expected)) return host_.receive(from, expected, std::move(into));
    assert(into.bytes >= expected.bytes);
    count_received(counters_, expected);
    if (!check_headers_) return move(false, from, expected, into);
    const Buffer came = Buffer::allocate(sizeof(MessageHeader));
    auto header = host_.receive(from, wrapped(expected), came);
    return std::make_unique<CheckedHandle>(move(false, from, expected, into), std::move(header), came, expected, rank(),
                                           from);
  }
  std::unique_ptr<Handle> receive_any_size(int from, const MessageHeader& expected, MessageHeader* header,
                                           Buffer* payload) override {
    return host_.receive_any_size(from, expected, header, payload);
  }
  std::unique_ptr<Collectives> make_collectives(const std::vector<int>& members, int number, uint64_t run) override {
    return make_nccl_collectives(*this, watch_, members, number, run);
  }
  void check() override { watch_.check(); }
  void abort(int exit_code, const std::string& reason) override {
    watch_.fail("the run ends: " + reason);
    host_.abort(exit_code, reason);
  }
  TransportCounters counters() const override {
    TransportCounters all = host_.counters();
    all.messages_sent += counters_.messages_sent;
    all.bytes_sent += counters_.bytes_sent;
    all.messages_received += counters_.messages_received;
    return all;
  }
  std::string description() const override {
    return message("NCCL ", nccl_version_text(calls_.library_version()), ", ", links_.size(), " directions; beside it ",
                   host_.description());
  }

 private:
  void check_room(const NcclOptions& options) const {
    int own = 0;
    for (const auto& [from, to] : options.pairs) own += from == rank() || to == rank();
    const int blocks = own * pair_blocks + collective_blocks, most = calls_.multiprocessors();
    if (blocks <= most) return;
    throw Error(
        ExitCode::config,
        message("rank ", rank(), " exchanges messages in ", own, " directions, which NCCL can need ", blocks,
                " thread blocks at a time for; its GPU has ", most, " multiprocessors: use a placement in which ",
                "fewer ranks are neighbours, or parallel.transport = \"mpi\""));
  }

  // In an order that all ranks share, so that no two wait for each other; alternate neighbours first, so that a
  // pipeline does not wait for the sum of its pairs.
  void connect(std::vector<std::pair<int, int>> pairs) {
    const auto turn = [](const std::pair<int, int>& pair) {
      return std::tuple(std::min(pair.first, pair.second) % 2, pair);
    };
    std::ranges::sort(pairs, {}, turn);
    for (const auto& pair : pairs) {
      const auto& [from, to] = pair;
      if (from != rank() && to != rank()) continue;
      links_[pair] = std::make_unique<NcclLink>(watch_, message("messages from rank ", from, " to rank ", to),
                                                std::vector<int>{from, to}, from == rank() ? 0 : 1, exchange_id(pair),
                                                pair_blocks);
      greet(pair);
    }
  }

  NcclId exchange_id(const std::pair<int, int>& pair) {
    const Buffer buffer = Buffer::allocate(sizeof(NcclId));
    MessageHeader header;
    header.lane = nccl_start_lane;
    header.bytes = sizeof(NcclId);
    NcclId id;
    if (pair.first == rank()) {
      const int result = calls_.make_id(id);
      if (result != nccl_success)
        throw Error(ExitCode::gave_up, message("NCCL gives no id for a communicator: ", calls_.describe(result)));
      std::memcpy(buffer.data, &id, sizeof id);
      host_.send(pair.second, header, buffer)->wait();
    } else {
      host_.receive(pair.first, header, buffer)->wait();
      std::memcpy(&id, buffer.data, sizeof id);
    }
    return id;
  }

  // NCCL connects two ranks at the first call between them, and the call waits for the other side's. A post must not:
  // so the first call is made here, where both sides are.
  void greet(const std::pair<int, int>& pair) {
    MessageHeader nothing;
    nothing.lane = {MessageKind::activation, 0, 0};
    move(pair.first == rank(), pair.first == rank() ? pair.second : pair.first, nothing, {})->wait();
  }

  NcclLink& link(bool sends, int peer) const {
    const auto found = links_.find(sends ? std::pair(rank(), peer) : std::pair(peer, rank()));
    if (found == links_.end())
      throw Error(ExitCode::gave_up,
                  message("rank ", rank(), sends ? " sends to rank " : " receives from rank ", peer,
                          ", which the plan's placement does not connect: a mistake of the program"));
    return *found->second;
  }

  // A message of no bytes is one byte that nobody looks at.
  std::unique_ptr<Handle> move(bool sends, int peer, const MessageHeader& header, const Buffer& buffer) {
    NcclLink& own = link(sends, peer);
    const bool empty = header.bytes == 0;
    void* data = empty ? one_byte_.get() : buffer.data;
    const size_t bytes = empty ? 1 : header.bytes;
    const auto call = [&] {
      return sends ? calls_.send(data, bytes, 1, own.communicator(), own.stream())
                   : calls_.receive(data, bytes, 0, own.communicator(), own.stream());
    };
    auto operation = own.put(message(sends ? "a send to rank " : "a receive from rank ", peer, ": ", describe(header)),
                             {empty ? one_byte_ : buffer.owner}, call);
    return std::make_unique<NcclHandle>(watch_, std::move(operation));
  }

  static MessageHeader wrapped(const MessageHeader& header) {
    MessageHeader wrapper;
    wrapper.lane = header_lane(header.lane);
    wrapper.bytes = sizeof(MessageHeader);
    return wrapper;
  }
  void send_header(int to, const MessageHeader& header) {
    const Buffer buffer = Buffer::allocate(sizeof header);
    std::memcpy(buffer.data, &header, sizeof header);
    std::erase_if(headers_, [](const auto& sent) { return sent->done(); });
    headers_.push_back(host_.send(to, wrapped(header), buffer));
  }

  Transport& host_;
  NcclCalls& calls_;
  const bool check_headers_;
  TransportCounters counters_;
  NcclWatch watch_;
  std::shared_ptr<void> one_byte_;
  std::map<std::pair<int, int>, std::unique_ptr<NcclLink>> links_;  // from, to
  std::vector<std::unique_ptr<Handle>> headers_;                    // on their way
};

}  // namespace

std::unique_ptr<Transport> make_nccl(Transport& host, NcclCalls& calls, const NcclOptions& options) {
  return std::make_unique<NcclTransport>(host, calls, options);
}

}  // namespace interlock
