// Reduce-scatter and all-gather in the background, for every transport.
#include <gmock/gmock.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "runtime/core/error.h"
#include "tests/transport/conformance.h"
#include "tests/transport/conformance_sums.h"

namespace interlock::conformance {
namespace {

using Ranges = std::vector<Group::Range>;
using Pending = std::vector<std::unique_ptr<Collective>>;

const std::vector<int> everybody{0, 1, 2, 3};

// Cuts of `count` elements: uneven, several ranges of one member (some touch), an empty range, members without any.
std::vector<Ranges> cuts_of(size_t count) {
  const size_t a = count / 7, b = count / 3, c = count - count / 5;
  return {{{0, count, 2}},
          {{0, a, 1}, {a, b, 0}, {b, b, 3}, {b, c, 1}, {c, count, 0}},
          {{0, a, 3}, {a, b, 3}, {b, c, 0}, {c, count, 2}},
          {{c, count, 0}, {b, c, 1}, {a, b, 2}, {0, a, 3}},
          {{a, c, 2}}};
}

// What must be in `values` afterwards: the sums where `position` owns, its own values where nobody does.
template <class T>
void expect_scattered(const std::vector<T>& values, const std::vector<T>& before, const std::vector<T>& sums,
                      const Ranges& cut, int position) {
  std::vector<int> owners(values.size(), -1);
  for (const auto& [begin, end, owner] : cut) std::fill(owners.begin() + begin, owners.begin() + end, owner);
  std::vector<T> found, expected;
  for (size_t i = 0; i < values.size(); ++i) {
    if (owners[i] >= 0 && owners[i] != position) continue;
    found.push_back(values[i]);
    expected.push_back(owners[i] == position ? sums[i] : before[i]);
  }
  expect_bit_equal(found, expected);
}

template <class T>
void check_reduce_scatter(Transport& transport, const std::vector<int>& members, int number) {
  Group group(transport, members, number, test_run());
  for (const size_t count : {0, 1, 2, 5, 64, 1001, 30'011})
    for (const Ranges& cut : cuts_of(count)) {
      const std::vector<T> before = values_of<T>(transport.rank(), count);
      std::vector<T> values = before;
      group.begin_reduce_scatter(std::span<T>(values), cut)->finish();
      expect_scattered(values, before, sum_in_order<T>(members, count), cut, group.position());
    }
}

TEST(Collectives, AReduceScatterGivesTheBitsOfTheSumInGroupOrder) {
  on_ranks([](Transport& transport) {
    check_reduce_scatter<float>(transport, everybody, 40);
    check_reduce_scatter<double>(transport, {3, 1, 0, 2}, 41);
  });
}

TEST(Collectives, ReduceScatterThenAllGatherIsAllReduce) {
  on_ranks([](Transport& transport) {
    Group group(transport, everybody, 42, test_run());
    for (const Ranges& cut : cuts_of(30'011)) {
      if (cut.size() == 1) continue;  // the rest covers everything
      std::vector<float> values = values_of<float>(transport.rank(), 30'011), whole = values;
      group.begin_reduce_scatter(std::span(values), cut)->finish();
      std::vector<Group::Shard> shards;
      for (const auto& [begin, end, owner] : cut)
        shards.push_back({std::as_writable_bytes(std::span(values).subspan(begin, end - begin)), owner});
      group.begin_all_gather(shards)->finish();
      group.all_reduce(whole);
      expect_bit_equal(values, whole);
    }
  });
}

// All kinds under way at once; members advance and finish at different moments and do small collectives in between.
TEST(Collectives, SeveralOfAllKindsMayBeUnderWay) {
  on_ranks([](Transport& transport) {
    Group group(transport, everybody, 43, test_run());
    const int own = transport.rank();
    const std::vector<size_t> counts{1001, 3, 30'011, 64};
    for (int round = 0; round < 5; ++round) {
      std::vector<std::vector<float>> scattered, reduced;
      std::vector<std::vector<Buffer>> gathered;
      Pending scatters, reductions, gathers;
      for (size_t i = 0; i < counts.size(); ++i) {
        scattered.push_back(values_of<float>(own, counts[i]));
        reduced.push_back(scattered.back());
        std::vector<Group::Shard> shards;
        gathered.emplace_back();
        for (int owner = 0; owner < ranks; ++owner) {
          const uint64_t seed = 100 * i + owner;
          gathered.back().push_back(owner == own ? patterned(seed, counts[i]) : Buffer::allocate(counts[i]));
          shards.push_back({{gathered.back().back().data, counts[i]}, owner});
        }
        scatters.push_back(group.begin_reduce_scatter(std::span(scattered[i]), cuts_of(counts[i])[i]));
        gathers.push_back(group.begin_all_gather(shards));
        reductions.push_back(group.begin_all_reduce(reduced[i]));
        if (static_cast<int>(i) == own) {
          gathers.front()->advance();
          scatters.back()->advance();
          reductions.front()->advance();
        }
        if (i == 2) {
          EXPECT_EQ(group.all_gather(std::to_string(own))[3], "3");
        }
      }
      if (own == 2) std::this_thread::sleep_for(std::chrono::milliseconds(3));
      // Gathers and scatters in another order on every member, all-reduces in the order begun.
      std::rotate(gathers.begin(), gathers.begin() + own, gathers.end());
      std::rotate(scatters.begin(), scatters.begin() + (own + 1) % 4, scatters.end());
      for (size_t i = 0; i < counts.size(); ++i) {
        while (own == 1 && !gathers[i]->advance()) std::this_thread::yield();
        while (own == 3 && !scatters[i]->advance()) std::this_thread::yield();
        gathers[i]->finish();
        reductions[i]->finish();
        scatters[i]->finish();
        EXPECT_TRUE(gathers[i]->advance() && reductions[i]->advance() && scatters[i]->advance());
      }
      for (size_t i = 0; i < counts.size(); ++i) {
        const std::vector<float> sums = sum_in_order<float>(everybody, counts[i]);
        expect_bit_equal(reduced[i], sums);
        expect_scattered(scattered[i], values_of<float>(own, counts[i]), sums, cuts_of(counts[i])[i], own);
        for (int owner = 0; owner < ranks; ++owner)
          EXPECT_TRUE(has_pattern(gathered[i][owner], 100 * i + owner, counts[i])) << "operation " << i;
      }
    }
  });
}

// The caller waits for one bucket at a time; what comes later may still be under way, or not have begun elsewhere.
TEST(Collectives, OneGatherIsDoneBeforeTheNextBegins) {
  on_ranks([](Transport& transport) {
    Group group(transport, everybody, 44, test_run());
    Buffer first = transport.rank() == 0 ? patterned(1, 9'000) : Buffer::allocate(9'000);
    Buffer second = transport.rank() == 1 ? patterned(2, 9'000) : Buffer::allocate(9'000);
    const std::vector<Group::Shard> of_first{{{first.data, first.bytes}, 0}}, of_second{{{second.data, 9'000}, 1}};
    const auto earlier = group.begin_all_gather(of_first);
    std::unique_ptr<Collective> later;
    const MessageHeader go = header({MessageKind::report, 44, 0}, 0);
    // Rank 1 begins the second gather only when the others have all finished the first one.
    if (transport.rank() != 1) later = group.begin_all_gather(of_second);
    earlier->finish();
    EXPECT_TRUE(has_pattern(first, 1, 9'000));
    if (transport.rank() != 1) {
      EXPECT_FALSE(later->advance()) << "rank 1 cannot have sent it";
      transport.send(1, go, Buffer{})->wait();
    } else {
      for (const int other : {0, 2, 3}) transport.receive(other, go, Buffer::allocate(0))->wait();
      later = group.begin_all_gather(of_second);
    }
    later->finish();
    EXPECT_TRUE(has_pattern(second, 2, 9'000));
  });
}

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

TEST(Collectives, BytesSentAndNeededAreAsPromised) {
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

TEST(Collectives, RangesThatTouchAreOneMessage) {
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

TEST(Collectives, OneMemberKeepsItsValuesAndSendsNothing) {
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
TEST(Collectives, DifferentCutsAreAnError) {
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
