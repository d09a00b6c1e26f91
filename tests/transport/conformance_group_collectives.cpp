// What a group's collectives promise beyond the interface: messages, memory, and that other cuts are noticed.
#include <gmock/gmock.h>

#include "runtime/core/error.h"
#include "tests/transport/conformance.h"
#include "tests/transport/conformance_sums.h"

namespace interlock::conformance {
namespace {

const std::vector<int> everybody{0, 1, 2, 3};

// Passes everything on and adds up the memory that receives need outside the caller's values.
class MeasuringTransport final : public Transport {
 public:
  MeasuringTransport(Transport& transport, std::span<const std::byte> values)
      : transport_(transport), values_(values) {}
  uint64_t bytes_beside() const { return beside_; }

  int rank() const override { return transport_.rank(); }
  int size() const override { return transport_.size(); }
  std::unique_ptr<Handle> send(int to, const MessageHeader& header, Buffer payload) override {
    count(payload);
    return transport_.send(to, header, std::move(payload));
  }
  std::unique_ptr<Handle> receive(int from, const MessageHeader& expected, Buffer into) override {
    count(into);
    return transport_.receive(from, expected, std::move(into));
  }
  std::unique_ptr<Handle> receive_any_size(int from, const MessageHeader& expected, MessageHeader* header,
                                           Buffer* payload) override {
    return transport_.receive_any_size(from, expected, header, payload);
  }
  void abort(int exit_code, const std::string& reason) override { transport_.abort(exit_code, reason); }
  TransportCounters counters() const override { return transport_.counters(); }
  std::string description() const override { return transport_.description(); }

 private:
  void count(const Buffer& buffer) {
    if (buffer.data < values_.data() || buffer.data >= values_.data() + values_.size()) beside_ += buffer.bytes;
  }
  Transport& transport_;
  std::span<const std::byte> values_;
  uint64_t beside_ = 0;
};

TEST(GroupCollectives, BytesSentAndNeededAreAsPromised) {
  on_ranks([](Transport& transport) {
    constexpr uint64_t count = 30'011;
    std::vector<float> values(count, 1);
    MeasuringTransport measured(transport, std::as_bytes(std::span(values)));
    Group group(measured, everybody, 45, test_run());
    const auto sent = [&] { return transport.counters().other_bytes_sent; };
    for (const Ranges& cut : cuts_of(count)) {
      uint64_t own = 0, all = 0;
      std::vector<Group::Shard> shards;
      for (const auto& [begin, end, owner] : cut) {
        all += (end - begin) * sizeof(float);
        if (owner == transport.rank()) own += (end - begin) * sizeof(float);
        shards.push_back({std::as_writable_bytes(std::span(values).subspan(begin, end - begin)), owner});
      }
      const uint64_t sent_before = sent(), beside_before = measured.bytes_beside();
      group.begin_reduce_scatter(std::span(values), cut)->finish();
      EXPECT_EQ(sent() - sent_before, all - own);
      EXPECT_EQ(measured.bytes_beside() - beside_before, own * (ranks - 1));
      const uint64_t scattered = sent();
      group.begin_all_gather(shards)->finish();
      EXPECT_EQ(sent() - scattered, own * (ranks - 1));
      EXPECT_EQ(measured.bytes_beside() - beside_before, own * (ranks - 1)) << "an all-gather needs no memory";
    }
  });
}

TEST(GroupCollectives, RangesThatTouchAreOneMessage) {
  on_ranks([](Transport& transport) {
    Group group(transport, everybody, 46, test_run());
    std::vector<double> values(400, 1);
    Ranges cut;
    for (size_t i = 0; i < 400; ++i) cut.push_back({i, i + 1, static_cast<int>(i / 100)});
    const uint64_t before = transport.counters().other_messages_sent;
    group.begin_reduce_scatter(std::span(values), cut)->finish();
    EXPECT_EQ(transport.counters().other_messages_sent - before, 3u);
    EXPECT_EQ(values[100 * transport.rank() + 99], 4.0);
  });
}

TEST(GroupCollectives, OneMemberKeepsItsValuesAndSendsNothing) {
  on_ranks([](Transport& transport) {
    Group alone(transport, {transport.rank()}, 47, test_run());
    const uint64_t before = transport.counters().other_messages_sent;
    std::vector<float> values{1.5f, -2.0f};
    alone.begin_reduce_scatter(std::span(values), Ranges{{0, 2, 0}})->finish();
    const auto gather =
        alone.begin_all_gather(std::vector<Group::Shard>{{std::as_writable_bytes(std::span(values)), 0}});
    EXPECT_TRUE(gather->advance());
    EXPECT_EQ(values, (std::vector<float>{1.5f, -2.0f}));
    EXPECT_EQ(transport.counters().other_messages_sent, before);
  });
}

// Members that cut differently are told so, with both sizes, whatever they run over.
TEST(GroupCollectives, DifferentCutsAreAnError) {
  on_ranks([](Transport& transport) {
    if (transport.rank() > 1) return;
    Group pair(transport, {0, 1}, 48, test_run());
    const auto values = std::make_shared<std::vector<float>>(100, 1.0f);
    const bool first = transport.rank() == 0;
    const size_t border = first ? 50 : 60;
    try {
      pair.begin_reduce_scatter(std::span(*values), Ranges{{0, border, 0}, {border, 100, 1}}, values)->finish();
      ADD_FAILURE() << "no error";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr("received another message"));
      EXPECT_THAT(error.what(), testing::HasSubstr(first ? "200 bytes" : "160 bytes"));
      EXPECT_THAT(error.what(), testing::HasSubstr(first ? "240 bytes" : "200 bytes"));
    }
  });
}

}  // namespace
}  // namespace interlock::conformance
