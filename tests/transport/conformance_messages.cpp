// Point to point, for every transport.
#include <gmock/gmock.h>

#include <array>
#include <chrono>
#include <random>
#include <thread>

#include "runtime/core/error.h"
#include "tests/transport/conformance.h"

namespace interlock::conformance {
namespace {

using Handles = std::vector<std::unique_ptr<Handle>>;

constexpr Lane lane_a{MessageKind::activation, 2, 0}, lane_b{MessageKind::gradient, 2, 0},
    lane_c{MessageKind::gradient, 2, 1}, lane_d{MessageKind::gradient, 3, 1};

void pause_a_little(std::mt19937& random) {
  std::this_thread::sleep_for(std::chrono::microseconds(std::uniform_int_distribution(0, 400)(random)));
}

TEST(Messages, ALaneKeepsItsOrder) {
  on_ranks([](Transport& transport) {
    constexpr int count = 50;
    const int to = (transport.rank() + 1) % ranks, from = (transport.rank() + ranks - 1) % ranks;
    Handles handles;
    std::vector<Buffer> came;
    // Sizes around the limit of what travels with the header, and around whole pieces.
    const auto size = [](int i) { return std::array<uint64_t, 6>{1, 4095, 4096, 4097, 10'000, 20'001}[i % 6]; };
    for (int i = 0; i < count; ++i) {
      came.push_back(Buffer::allocate(size(i)));
      handles.push_back(transport.receive(from, header(lane_a, size(i), 1, i), came.back()));
    }
    for (int i = 0; i < count; ++i) {
      handles.push_back(
          transport.send(to, header(lane_a, size(i), 1, i), patterned(100 * transport.rank() + i, size(i))));
    }
    for (auto& handle : handles) handle->wait();
    for (int i = 0; i < count; ++i) EXPECT_TRUE(has_pattern(came[i], 100 * from + i, size(i))) << "message " << i;
  });
}

TEST(Messages, WaitsMayComeInAnyOrder) {
  on_ranks([](Transport& transport) {
    constexpr int count = 40;
    const int other = transport.rank() ^ 1;
    Handles sends, receives;
    std::vector<Buffer> came;
    for (int i = 0; i < count; ++i) {
      came.push_back(Buffer::allocate(100));
      sends.push_back(transport.send(other, header(lane_b, 100, 1, i), patterned(i, 100)));
      receives.push_back(transport.receive(other, header(lane_b, 100, 1, i), came.back()));
    }
    for (int i = count; i-- > 0;) receives[i]->wait();
    for (int i = count; i-- > 0;) sends[i]->wait();
    for (int i = 0; i < count; ++i) EXPECT_TRUE(has_pattern(came[i], i, 100));
  });
}

TEST(Messages, ManyMayBeOutstanding) {
  on_ranks([](Transport& transport) {
    constexpr int each = 400;
    Handles handles;
    std::vector<Buffer> came;
    for (int from = 0; from < ranks; ++from) {
      for (int i = 0; i < each && from != transport.rank(); ++i) {
        came.push_back(Buffer::allocate(8));
        handles.push_back(transport.receive(from, header({MessageKind::report, 0, i % 7}, 8, i), came.back()));
      }
    }
    for (int to = 0; to < ranks; ++to) {
      for (int i = 0; i < each && to != transport.rank(); ++i) {
        const uint64_t seed = 1000 * transport.rank() + i;
        handles.push_back(transport.send(to, header({MessageKind::report, 0, i % 7}, 8, i), patterned(seed, 8)));
      }
    }
    for (auto& handle : handles) handle->wait();
    size_t next = 0;
    for (int from = 0; from < ranks; ++from) {
      for (int i = 0; i < each && from != transport.rank(); ++i) {
        EXPECT_TRUE(has_pattern(came[next++], 1000 * from + i, 8)) << from << ' ' << i;
      }
    }
  });
}

TEST(Messages, APayloadMayBeEmpty) {
  on_ranks([](Transport& transport) {
    const int other = transport.rank() ^ 1;
    const auto receive = transport.receive(other, header(lane_a, 0), Buffer::allocate(0));
    const auto send = transport.send(other, header(lane_a, 0), Buffer{});
    receive->wait();
    send->wait();
  });
}

// "Done" must mean that the receive was posted: a plan that was proved under that rule runs under it.
TEST(Messages, ASendIsDoneWhenItsReceiveIsPosted) {
  on_ranks([](Transport& transport) {
    const std::array<uint64_t, 3> sizes{0, 64, 50'000};
    const Lane go{MessageKind::report, 11, 0};
    for (const uint64_t bytes : sizes) {
      if (transport.rank() == 0) {
        const auto send = transport.send(1, header(lane_a, bytes), patterned(3, bytes));
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        EXPECT_FALSE(send->done()) << bytes << " bytes, no receive posted yet";
        transport.send(1, header(go, 0), Buffer{})->wait();  // tells rank 1 to go on
        send->wait();
        EXPECT_TRUE(send->done());
      } else if (transport.rank() == 1) {
        transport.receive(0, header(go, 0), Buffer::allocate(0))->wait();
        const Buffer came = Buffer::allocate(bytes);
        transport.receive(0, header(lane_a, bytes), came)->wait();
        EXPECT_TRUE(has_pattern(came, 3, bytes));
      }
    }
  });
}

TEST(Messages, DoneIsSeenWithoutWaiting) {
  on_ranks([](Transport& transport) {
    const int other = transport.rank() ^ 1;
    const Buffer came = Buffer::allocate(20'000);
    const auto receive = transport.receive(other, header(lane_a, 20'000), came);
    const auto send = transport.send(other, header(lane_a, 20'000), patterned(9, 20'000));
    // Ends by the test's time limit when done() never turns true.
    while (!receive->done() || !send->done()) std::this_thread::sleep_for(std::chrono::microseconds(50));
    receive->wait();
    send->wait();
    EXPECT_TRUE(has_pattern(came, 9, 20'000));
  });
}

TEST(Messages, AnySizeBringsHeaderAndPayload) {
  on_ranks([](Transport& transport) {
    const std::array<uint64_t, 6> sizes{0, 1, 4096, 4097, 25'000, 10'000};
    const Lane lane{MessageKind::weights, 0, 3};
    if (transport.rank() == 0) {
      // All posted at once, one behind the other in one lane, and one receive of known size after them.
      for (int from = 1; from < ranks; ++from) {
        Handles handles;
        std::vector<MessageHeader> headers(sizes.size());
        std::vector<Buffer> payloads(sizes.size());
        for (size_t i = 0; i < sizes.size(); ++i) {
          handles.push_back(transport.receive_any_size(from, header(lane, 0), &headers[i], &payloads[i]));
        }
        const Buffer last = Buffer::allocate(12'345);
        handles.push_back(transport.receive(from, header(lane, 12'345), last));
        for (auto& handle : handles) handle->wait();
        for (size_t i = 0; i < sizes.size(); ++i) {
          MessageHeader sent = header(lane, sizes[i]);
          sent.dtype = 6;
          sent.dimensions = 1;
          sent.shape[0] = static_cast<int64_t>(i);
          EXPECT_EQ(headers[i], sent) << describe(headers[i]);
          ASSERT_EQ(payloads[i].bytes, sizes[i]);
          EXPECT_TRUE(has_pattern(payloads[i], 10 * from + i, sizes[i]));
        }
        EXPECT_TRUE(has_pattern(last, 77, 12'345));
      }
    } else {
      Handles handles;
      for (size_t i = 0; i < sizes.size(); ++i) {
        MessageHeader sent = header(lane, sizes[i]);
        sent.dtype = 6;
        sent.dimensions = 1;
        sent.shape[0] = static_cast<int64_t>(i);
        handles.push_back(transport.send(0, sent, patterned(10 * transport.rank() + i, sizes[i])));
      }
      handles.push_back(transport.send(0, header(lane, 12'345), patterned(77, 12'345)));
      for (auto& handle : handles) handle->wait();
    }
  });
}

// 1 MiB in pieces of 10 kB is 105 pieces over MPI.
TEST(Messages, ALargePayloadArrivesWhole) {
  on_ranks([](Transport& transport) {
    const int other = transport.rank() ^ 1;
    constexpr uint64_t bytes = 1 << 20;
    const Buffer came = Buffer::allocate(bytes);
    const auto receive = transport.receive(other, header(lane_d, bytes), came);
    const auto send = transport.send(other, header(lane_d, bytes), patterned(transport.rank(), bytes));
    receive->wait();
    send->wait();
    EXPECT_TRUE(has_pattern(came, other, bytes));
  });
}

TEST(Messages, AnySizeComparesLaneRunAndStep) {
  on_ranks([](Transport& transport) {
    const Lane lane{MessageKind::report, 9, 0};
    MessageHeader came;
    Buffer payload;
    if (transport.rank() == 0) {
      transport.send(1, header(lane, 8, 3, 17), patterned(1, 8))->wait();
      transport.send(1, header(lane, 8, 4, 17), patterned(1, 8))->wait();
    } else if (transport.rank() == 1) {
      transport.receive_any_size(0, header(lane, 0, 3), &came, &payload)->wait();
      EXPECT_EQ(came.microbatch, 17);
      EXPECT_THROW(transport.receive_any_size(0, header(lane, 0, 5), &came, &payload)->wait(), Error);
    }
  });
}

TEST(Messages, UnequalWorkDoesNotDeadlock) {
  on_ranks([](Transport& transport) {
    std::mt19937 random(transport.rank());
    const int to = (transport.rank() + 1) % ranks, from = (transport.rank() + ranks - 1) % ranks;
    Handles sends;
    for (int i = 0; i < 60; ++i) {
      const uint64_t bytes = 1 + 997 * (i % 13);
      const Buffer came = Buffer::allocate(bytes);
      const auto receive = transport.receive(from, header(lane_c, bytes, 1, i), came);
      pause_a_little(random);
      sends.push_back(transport.send(to, header(lane_c, bytes, 1, i), patterned(i, bytes)));
      pause_a_little(random);
      receive->wait();
      ASSERT_TRUE(has_pattern(came, i, bytes));
    }
    for (auto& send : sends) send->wait();
  });
}

TEST(Messages, CountersCountPipelineMessagesApart) {
  on_ranks([](Transport& transport) {
    const TransportCounters before = transport.counters();
    const int other = transport.rank() ^ 1;
    Handles handles;
    for (const Lane lane : {lane_a, lane_b, lane_c, Lane{MessageKind::report, 2, 0}}) {
      handles.push_back(transport.receive(other, header(lane, 30'000), Buffer::allocate(30'000)));
      handles.push_back(transport.send(other, header(lane, 30'000), patterned(1, 30'000)));
    }
    for (auto& handle : handles) handle->wait();
    const TransportCounters after = transport.counters();
    EXPECT_EQ(after.messages_sent - before.messages_sent, 3u);
    EXPECT_EQ(after.bytes_sent - before.bytes_sent, 90'000u);
    EXPECT_EQ(after.messages_received - before.messages_received, 3u);
    EXPECT_EQ(after.other_messages_sent - before.other_messages_sent, 1u);
    EXPECT_EQ(after.other_bytes_sent - before.other_bytes_sent, 30'000u);
  });
}

}  // namespace
}  // namespace interlock::conformance
