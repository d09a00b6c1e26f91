// Collectives in the background, for every transport: its own, or a group's on its messages.
#include <gmock/gmock.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "runtime/core/error.h"
#include "tests/transport/conformance.h"
#include "tests/transport/conformance_sums.h"

namespace interlock::conformance {
namespace {

using Pending = std::vector<std::unique_ptr<Collective>>;

const std::vector<int> everybody{0, 1, 2, 3};

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
  const auto group = make_collectives(transport, members, number);
  for (const size_t count : {0, 1, 2, 5, 64, 1001, 30'011})
    for (const Ranges& cut : cuts_of(count)) {
      const std::vector<T> before = values_of<T>(transport.rank(), count);
      std::vector<T> values = before;
      group->begin_reduce_scatter(std::span<T>(values), cut)->finish();
      expect_scattered(values, before, sum_in_order<T>(members, count), cut, group->position());
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
    const auto group = make_collectives(transport, everybody, 42);
    for (const Ranges& cut : cuts_of(30'011)) {
      if (cut.size() == 1) continue;  // the rest covers everything
      std::vector<float> values = values_of<float>(transport.rank(), 30'011), whole = values;
      group->begin_reduce_scatter(std::span(values), cut)->finish();
      std::vector<Collectives::Shard> shards;
      for (const auto& [begin, end, owner] : cut)
        shards.push_back({std::as_writable_bytes(std::span(values).subspan(begin, end - begin)), owner});
      group->begin_all_gather(shards)->finish();
      group->all_reduce(whole);
      expect_bit_equal(values, whole);
    }
  });
}

// All kinds under way at once; members advance and finish at different moments and do small collectives in between.
TEST(Collectives, SeveralOfAllKindsMayBeUnderWay) {
  on_ranks([](Transport& transport) {
    const auto group = make_collectives(transport, everybody, 43);
    Group control = world(transport, 49);
    const int own = transport.rank();
    const std::vector<size_t> counts{1001, 3, 30'011, 64};
    for (int round = 0; round < 5; ++round) {
      std::vector<std::vector<float>> scattered, reduced;
      std::vector<std::vector<Buffer>> gathered;
      Pending scatters, reductions, gathers;
      for (size_t i = 0; i < counts.size(); ++i) {
        scattered.push_back(values_of<float>(own, counts[i]));
        reduced.push_back(scattered.back());
        std::vector<Collectives::Shard> shards;
        gathered.emplace_back();
        for (int owner = 0; owner < ranks; ++owner) {
          const uint64_t seed = 100 * i + owner;
          gathered.back().push_back(owner == own ? patterned(seed, counts[i]) : Buffer::allocate(counts[i]));
          shards.push_back({{gathered.back().back().data, counts[i]}, owner});
        }
        scatters.push_back(group->begin_reduce_scatter(std::span(scattered[i]), cuts_of(counts[i])[i]));
        gathers.push_back(group->begin_all_gather(shards));
        reductions.push_back(group->begin_all_reduce(reduced[i]));
        if (static_cast<int>(i) == own) {
          gathers.front()->advance();
          scatters.back()->advance();
          reductions.front()->advance();
        }
        if (i == 2) {
          EXPECT_EQ(control.all_gather(std::to_string(own))[3], "3");
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
    const auto group = make_collectives(transport, everybody, 44);
    Buffer first = transport.rank() == 0 ? patterned(1, 9'000) : Buffer::allocate(9'000);
    Buffer second = transport.rank() == 1 ? patterned(2, 9'000) : Buffer::allocate(9'000);
    const std::vector<Collectives::Shard> of_first{{{first.data, first.bytes}, 0}},
        of_second{{{second.data, 9'000}, 1}};
    const auto earlier = group->begin_all_gather(of_first);
    std::unique_ptr<Collective> later;
    const MessageHeader go = header({MessageKind::report, 44, 0}, 0);
    // Rank 1 begins the second gather only when the others have all finished the first one.
    if (transport.rank() != 1) later = group->begin_all_gather(of_second);
    earlier->finish();
    EXPECT_TRUE(has_pattern(first, 1, 9'000));
    if (transport.rank() != 1) {
      EXPECT_FALSE(later->advance()) << "rank 1 cannot have sent it";
      transport.send(1, go, Buffer{})->wait();
    } else {
      for (const int other : {0, 2, 3}) transport.receive(other, go, Buffer::allocate(0))->wait();
      later = group->begin_all_gather(of_second);
    }
    later->finish();
    EXPECT_TRUE(has_pattern(second, 2, 9'000));
  });
}

}  // namespace
}  // namespace interlock::conformance
