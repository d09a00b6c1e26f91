// The conformance tests over links that are slowed down, and that they are.
#include "parallel/transport/slow_links.h"

#include <gmock/gmock.h>

#include <chrono>

#include "parallel/transport/loopback.h"
#include "tests/transport/conformance.h"

namespace interlock {

namespace conformance {

uint64_t test_run() { return static_cast<uint64_t>(testing::UnitTest::GetInstance()->current_test_info()->line()) + 1; }

void on_ranks(const std::function<void(Transport&)>& body) {
  run_loopback(ranks, [&](Transport& transport) {
    const auto slow = make_slow_links(transport, {1e9, 1e-5});
    body(*slow);
    world(*slow, 99).barrier();
  });
}

}  // namespace conformance

namespace {

using conformance::header;
using conformance::patterned;
using conformance::world;
using std::chrono::duration;
using std::chrono::steady_clock;

constexpr uint64_t size = 100'000;
constexpr Lane lane{MessageKind::activation, 0, 0}, other_lane{MessageKind::gradient, 0, 0};

// Seconds until rank 1 has all messages, one of `size` bytes in each lane, since it saw that rank 0 begins.
double seconds_for(const LinkSpeed& speed, const std::vector<Lane>& lanes) {
  double seconds = 0;
  run_loopback(2, [&](Transport& transport) {
    const auto slow = make_slow_links(transport, speed);
    world(transport, 98).barrier();
    const auto begin = steady_clock::now();
    std::vector<std::unique_ptr<Handle>> handles;
    for (const Lane& each : lanes)
      handles.push_back(slow->rank() == 0 ? slow->send(1, header(each, size), patterned(1, size))
                                          : slow->receive(0, header(each, size), Buffer::allocate(size)));
    for (const auto& handle : handles) handle->wait();
    if (slow->rank() == 1) seconds = duration<double>(steady_clock::now() - begin).count();
    world(transport, 97).barrier();
  });
  return seconds;
}

// A barrier lets rank 1 go on a moment before rank 0 sends or after, so a little less than the link's time is seen.
constexpr double most_of_it = 0.8;

TEST(SlowLinks, ALatencyIsWaitedFor) { EXPECT_GT(seconds_for({0, 0.05}, {lane}), most_of_it * 0.05); }

TEST(SlowLinks, BytesTakeTheirTime) {
  EXPECT_GT(seconds_for({size / 0.05, 0}, {lane}), most_of_it * 0.05);
  EXPECT_GT(seconds_for({size / 0.05, 0.02}, {lane}), most_of_it * 0.07);
}

TEST(SlowLinks, AllLanesShareALink) {
  EXPECT_GT(seconds_for({size / 0.05, 0}, {lane, other_lane}), most_of_it * 0.10);
  EXPECT_GT(seconds_for({size / 0.05, 0}, {lane, lane}), most_of_it * 0.10);
}

TEST(SlowLinks, DoneIsNoSoonerThanWait) {
  run_loopback(2, [&](Transport& transport) {
    const auto slow = make_slow_links(transport, {0, 0.2});
    if (slow->rank() == 0) {
      slow->send(1, header(lane, size), patterned(1, size))->wait();
      return;
    }
    const auto begin = steady_clock::now();
    const Buffer into = Buffer::allocate(size);
    const auto handle = slow->receive(0, header(lane, size), into);
    while (!handle->done()) {
    }
    EXPECT_GT(duration<double>(steady_clock::now() - begin).count(), most_of_it * 0.2);
    EXPECT_TRUE(conformance::has_pattern(into, 1, size));
    handle->wait();
  });
}

TEST(SlowLinks, CountWhatThePlanCounts) {
  run_loopback(2, [&](Transport& transport) {
    const auto slow = make_slow_links(transport, {1e9, 0});
    if (slow->rank() == 0) {
      slow->send(1, header(lane, size), patterned(1, size))->wait();
      EXPECT_EQ(slow->counters().messages_sent, 1U);
      EXPECT_EQ(slow->counters().bytes_sent, size);
    } else {
      slow->receive(0, header(lane, size), Buffer::allocate(size))->wait();
      EXPECT_EQ(slow->counters().messages_received, 1U);
    }
    EXPECT_THAT(slow->description(), testing::HasSubstr("slowed down to 1e+09 bytes/s and 0 s"));
  });
}

}  // namespace
}  // namespace interlock
