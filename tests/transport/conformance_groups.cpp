// Groups, for every transport.
#include <gmock/gmock.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <thread>

#include "tests/transport/conformance.h"
#include "tests/transport/conformance_sums.h"

namespace interlock::conformance {
namespace {

template <class T>
void check_all_reduce(Transport& transport, const std::vector<int>& members, int number) {
  if (std::find(members.begin(), members.end(), transport.rank()) == members.end()) return;
  Group group(transport, members, number, test_run());
  for (const size_t count : {0, 1, 2, 3, 4, 5, 7, 64, 1001, 30'011}) {
    std::vector<T> values = values_of<T>(transport.rank(), count);
    group.all_reduce(values);
    expect_bit_equal(values, sum_in_order<T>(members, count));
  }
}

// Members advance theirs at different moments and do other collectives in between.
TEST(Groups, ReductionsInTheBackgroundGiveTheSameBits) {
  on_ranks([](Transport& transport) {
    const std::vector<int> members{0, 1, 2, 3};
    Group group(transport, members, 1, test_run());
    for (int round = 0; round < 5; ++round) {
      std::vector<std::vector<float>> values;
      std::vector<std::unique_ptr<Collective>> reductions;
      const std::vector<size_t> counts{1001, 3, 0, 64, 30'011, 1};
      for (const size_t count : counts) values.push_back(values_of<float>(transport.rank(), count));
      for (size_t i = 0; i < counts.size(); ++i) {
        reductions.push_back(group.begin_all_reduce(values[i]));
        if (i % 2 == static_cast<size_t>(transport.rank()) % 2) reductions.front()->advance();
        if (i == 2) {
          EXPECT_EQ(group.all_gather(std::to_string(transport.rank()))[3], "3");
        }
      }
      if (transport.rank() == 2) std::this_thread::sleep_for(std::chrono::milliseconds(5));
      for (size_t i = 0; i < counts.size(); ++i) {
        while (transport.rank() == 1 && !reductions[i]->advance()) std::this_thread::yield();
        reductions[i]->finish();
        expect_bit_equal(values[i], sum_in_order<float>(members, counts[i]));
      }
    }
  });
}

TEST(Groups, AllReduceIsTheSumInGroupOrderToTheBit) {
  on_ranks([](Transport& transport) {
    check_all_reduce<float>(transport, {0, 1, 2, 3}, 1);
    check_all_reduce<double>(transport, {0, 1, 2, 3}, 2);
  });
}

TEST(Groups, TheOrderOfMembersDecides) {
  // The data must tell the orders apart, or the test above proves nothing.
  EXPECT_NE(sum_in_order<float>({0, 1, 2, 3}, 1001), sum_in_order<float>({2, 0, 3, 1}, 1001));
  on_ranks([](Transport& transport) { check_all_reduce<float>(transport, {2, 0, 3, 1}, 3); });
}

TEST(Groups, SubgroupsWorkAtTheSameTime) {
  on_ranks([](Transport& transport) {
    check_all_reduce<float>(transport, {0, 2}, 4);
    check_all_reduce<float>(transport, {3, 1}, 5);
    check_all_reduce<double>(transport, {0, 1, 3}, 6);
  });
}

TEST(Groups, OneMemberSendsNothing) {
  on_ranks([](Transport& transport) {
    const uint64_t before = transport.counters().other_messages_sent;
    Group alone(transport, {transport.rank()}, 7, test_run());
    std::vector<float> values{1.5f, -2.0f};
    alone.all_reduce(values);
    EXPECT_EQ(values, (std::vector<float>{1.5f, -2.0f}));
    EXPECT_EQ(alone.all_gather(std::string("me")), std::vector<std::string>{"me"});
    EXPECT_EQ(alone.gather("me", 0), std::vector<std::string>{"me"});
    EXPECT_EQ(alone.broadcast(std::string("me"), 0), "me");
    EXPECT_EQ(alone.all_gather(std::vector<double>{4}), std::vector<double>{4});
    alone.broadcast(std::as_writable_bytes(std::span(values)), 0);
    alone.barrier();
    EXPECT_EQ(transport.counters().other_messages_sent, before);
  });
}

TEST(Groups, BroadcastReachesAllFromAnyRoot) {
  on_ranks([](Transport& transport) {
    Group group = world(transport, 8);
    for (int root = 0; root < ranks; ++root) {
      for (const uint64_t bytes : {uint64_t{0}, uint64_t{8}, uint64_t{70'000}}) {
        const Buffer buffer = transport.rank() == root ? patterned(root, bytes) : Buffer::allocate(bytes);
        group.broadcast({buffer.data, bytes}, root);
        EXPECT_TRUE(has_pattern(buffer, root, bytes)) << "root " << root << ", " << bytes << " bytes";
      }
    }
  });
}

TEST(Groups, TextOfAnySizeReachesAllAndComesBack) {
  on_ranks([](Transport& transport) {
    Group group = world(transport, 8);
    for (int root = 0; root < ranks; ++root) {
      const std::string told =
          group.broadcast(std::string(10'000 * transport.rank(), static_cast<char>('a' + transport.rank())), root);
      EXPECT_EQ(told, std::string(10'000 * root, static_cast<char>('a' + root)));
      const std::vector<std::string> heard = group.gather(std::string(transport.rank(), '.'), root);
      if (transport.rank() == root) {
        EXPECT_EQ(heard, (std::vector<std::string>{"", ".", "..", "..."}));
      } else {
        EXPECT_TRUE(heard.empty());
      }
    }
  });
}

TEST(Groups, AllGatherGivesEveryShardToEverybody) {
  on_ranks([](Transport& transport) {
    Group group = world(transport, 9);
    // Several shards of one owner, an empty one, and one that is sent in pieces of its own.
    const std::vector<std::pair<int, uint64_t>> plan{{0, 8}, {2, 70'000}, {2, 0}, {1, 3}, {0, 4096}, {3, 1}, {2, 9}};
    std::vector<Buffer> buffers;
    std::vector<Group::Shard> shards;
    for (const auto& [owner, bytes] : plan) {
      buffers.push_back(transport.rank() == owner ? patterned(static_cast<int>(buffers.size()), bytes)
                                                  : Buffer::allocate(bytes));
      shards.push_back({{buffers.back().data, bytes}, owner});
    }
    group.begin_all_gather(shards)->finish();
    for (size_t i = 0; i < plan.size(); ++i)
      EXPECT_TRUE(has_pattern(buffers[i], static_cast<int>(i), plan[i].second)) << "shard " << i;
  });
}

TEST(Groups, AllGatherTakesDifferentSizes) {
  on_ranks([](Transport& transport) {
    Group group = world(transport, 9);
    const auto text = [](int rank) {
      return std::string(static_cast<size_t>(rank) * 7'000, 'a' + rank);
    };  // rank 0: ""
    const auto all = group.all_gather(text(transport.rank()));
    ASSERT_EQ(all.size(), size_t{ranks});
    for (int rank = 0; rank < ranks; ++rank) EXPECT_EQ(all[rank], text(rank));
    const std::vector<double> own{transport.rank() + 0.5, -1.0 * transport.rank()};
    const auto numbers = group.all_gather(own);
    EXPECT_THAT(numbers, testing::ElementsAre(0.5, 0, 1.5, -1, 2.5, -2, 3.5, -3));
  });
}

// Nobody may leave before the last one has come: each rank says by message when it has left, and the last to come
// looks.
TEST(Groups, NobodyLeavesABarrierBeforeAllHaveCome) {
  on_ranks([](Transport& transport) {
    for (int late = 0; late < ranks; ++late) {
      Group group = world(transport, 10 + late);
      const MessageHeader left = header({MessageKind::report, 10, late}, 0);
      std::vector<std::unique_ptr<Handle>> handles;
      if (transport.rank() == late) {
        for (int other = 0; other < ranks; ++other) {
          if (other != late) handles.push_back(transport.receive(other, left, Buffer::allocate(0)));
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(30));
        for (const auto& handle : handles) EXPECT_FALSE(handle->done()) << "left before rank " << late << " came";
        group.barrier();
      } else {
        group.barrier();
        handles.push_back(transport.send(late, left, Buffer{}));
      }
      for (auto& handle : handles) handle->wait();
    }
  });
}

TEST(Groups, UnequalWorkDoesNotDeadlock) {
  on_ranks([](Transport& transport) {
    std::mt19937 random(transport.rank());
    Group all = world(transport, 20);
    Group pair(transport, transport.rank() < 2 ? std::vector{0, 1} : std::vector{2, 3}, 21, test_run());
    for (int round = 0; round < 30; ++round) {
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 500));
      std::vector<double> ones(17, 1.0);
      if (round % 3)
        pair.all_reduce(ones);
      else
        all.all_reduce(ones);
      EXPECT_EQ(ones, std::vector<double>(17, round % 3 ? 2.0 : 4.0));
      if (round % 5 == 0) all.barrier();
    }
  });
}

}  // namespace
}  // namespace interlock::conformance
