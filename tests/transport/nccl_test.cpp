// The conformance tests over NCCL's stand-in, and what only this transport promises.
#include "parallel/transport/nccl/nccl.h"

#include <gmock/gmock.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>

#include "parallel/transport/loopback.h"
#include "runtime/core/lost.h"
#include "tests/support/nccl_stand_in.h"
#include "tests/transport/conformance.h"

namespace interlock {
namespace {

using Pairs = std::vector<std::pair<int, int>>;
using testing::AllOf;
using testing::HasSubstr;

Pairs all_pairs(int ranks) {
  Pairs pairs;
  for (int from = 0; from < ranks; ++from)
    for (int to = 0; to < ranks; ++to)
      if (from != to) pairs.emplace_back(from, to);
  return pairs;
}

// Every rank with its transport; nothing may be left behind, and nothing done that NCCL forbids.
void on_stand_in(NcclStandIn& world, int ranks, const NcclOptions& options,
                 const std::function<void(Transport&)>& body) {
  run_loopback(ranks, [&](Transport& host) {
    const auto transport = make_nccl(host, world.gpu(host.rank()), options);
    body(*transport);
    conformance::world(*transport, 99).barrier();
  });
}

}  // namespace

namespace conformance {

uint64_t test_run() { return static_cast<uint64_t>(testing::UnitTest::GetInstance()->current_test_info()->line()) + 1; }

void on_ranks(const std::function<void(Transport&)>& body) {
  NcclStandIn world(ranks);
  on_stand_in(world, ranks, {.pairs = all_pairs(ranks), .limit_seconds = 20}, body);
  EXPECT_EQ(world.misuses(), 0);
  EXPECT_EQ(world.communicators(), 0);
}

}  // namespace conformance

namespace {

using conformance::has_pattern;
using conformance::header;
using conformance::patterned;

constexpr Lane lane{MessageKind::activation, 2, 0}, other_lane{MessageKind::gradient, 2, 1};
constexpr double short_limit = 1;  // seconds; a loaded machine starts a communicator in less

// What `body` throws on the ranks where it throws; the ranks do not wait for each other at the end.
std::vector<std::string> failures(NcclStandIn& world, int ranks, const NcclOptions& options,
                                  const std::function<void(Transport&)>& body, ExitCode code = lost_rank) {
  std::vector<std::string> told(ranks);
  run_loopback(ranks, [&](Transport& host) {
    try {
      const auto transport = make_nccl(host, world.gpu(host.rank()), options);
      try {
        body(*transport);
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), code);
        told[host.rank()] = error.what();
      }
    } catch (const Error& error) {
      told[host.rank()] = error.what();
    }
  });
  return told;
}

TEST(Nccl, IsAsItSays) {
  conformance::on_ranks([](Transport& transport) {
    EXPECT_TRUE(transport.ordered_pairs());
    EXPECT_TRUE(transport.uses_device_memory());
    EXPECT_THAT(transport.description(), HasSubstr("NCCL 2.28.9, 6 directions; beside it loopback"));
  });
}

// A plan posts receives long before the other side sends, and while both directions are in use.
TEST(Nccl, APostHoldsUpNothing) {
  conformance::on_ranks([](Transport& transport) {
    if (transport.rank() > 1) return;
    const int other = 1 - transport.rank();
    const Buffer came = Buffer::allocate(5'000);
    const auto posted = transport.receive(other, header(lane, 5'000), came);
    if (transport.rank() == 1) posted->wait();  // rank 0 sends although its own receive is still open
    const auto sent = transport.send(other, header(lane, 5'000), patterned(transport.rank(), 5'000));
    posted->wait();
    sent->wait();
    EXPECT_TRUE(has_pattern(came, other, 5'000));
  });
}

TEST(Nccl, ASendCarriesWhatTheComputeStreamMadeBefore) {
  NcclStandIn world(2);
  on_stand_in(world, 2, {.pairs = all_pairs(2)}, [&](Transport& transport) {
    const Buffer buffer = Buffer::allocate(1'000);
    if (transport.rank() == 0) {
      world.hold_compute(0, true);
      world.compute(0, [&] { std::memcpy(buffer.data, patterned(7, 1'000).data, 1'000); });
      const auto sent = transport.send(1, header(lane, 1'000), buffer);
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      EXPECT_FALSE(sent->done()) << "before it was made";
      world.hold_compute(0, false);
      sent->wait();
    } else {
      transport.receive(0, header(lane, 1'000), buffer)->wait();
      EXPECT_TRUE(has_pattern(buffer, 7, 1'000));
    }
  });
}

TEST(Nccl, JoinOrdersTheComputeStreamAndDoesNotHoldTheHost) {
  NcclStandIn world(2);
  std::atomic<bool> joined{false};
  on_stand_in(world, 2, {.pairs = all_pairs(2)}, [&](Transport& transport) {
    if (transport.rank() == 0) {
      while (!joined) std::this_thread::yield();
      transport.send(1, header(lane, 1'000), patterned(3, 1'000))->wait();
    } else {
      const Buffer came = Buffer::allocate(1'000);
      std::atomic<int> seen{0};
      const auto posted = transport.receive(0, header(lane, 1'000), came);
      posted->join();
      world.compute(1, [&] { seen = has_pattern(came, 3, 1'000) ? 1 : 2; });
      joined = true;
      while (seen == 0) std::this_thread::yield();
      EXPECT_EQ(seen, 1);
      posted->wait();  // may follow
    }
  });
}

// The receive's memory may be in use by compute before the post.
TEST(Nccl, AReceiveWaitsForTheComputeBeforeIt) {
  NcclStandIn world(2);
  on_stand_in(world, 2, {.pairs = all_pairs(2)}, [&](Transport& transport) {
    const Buffer buffer = patterned(1, 1'000);
    if (transport.rank() == 0) {
      transport.send(1, header(lane, 1'000), patterned(2, 1'000))->wait();
      return;
    }
    std::atomic<bool> kept{false};
    world.hold_compute(1, true);
    world.compute(1, [&] { kept = has_pattern(buffer, 1, 1'000); });
    const auto posted = transport.receive(0, header(lane, 1'000), buffer);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    world.hold_compute(1, false);
    posted->wait();
    EXPECT_TRUE(kept);
    EXPECT_TRUE(has_pattern(buffer, 2, 1'000));
  });
}

TEST(Nccl, AWrongOrderIsAnErrorWithinTheLimit) {
  NcclStandIn world(2);
  const auto told = failures(world, 2, {.pairs = all_pairs(2), .limit_seconds = short_limit}, [](Transport& transport) {
    std::vector<std::unique_ptr<Handle>> handles;
    if (transport.rank() == 0) {
      handles.push_back(transport.send(1, header(lane, 100), patterned(1, 100)));
      handles.push_back(transport.send(1, header(other_lane, 200), patterned(2, 200)));
    } else {
      handles.push_back(transport.receive(0, header(other_lane, 200), Buffer::allocate(200)));
      handles.push_back(transport.receive(0, header(lane, 100), Buffer::allocate(100)));
    }
    for (const auto& handle : handles) handle->wait();
  });
  EXPECT_THAT(told[0], AllOf(HasSubstr("rank 0: a send to rank 1: activation, boundary 2"),
                             HasSubstr("has not ended within 1 s")));
  EXPECT_THAT(told[1], HasSubstr("rank 1: a receive from rank 0: gradient, boundary 2, stream 1"));
  EXPECT_EQ(world.communicators(), 0);
}

TEST(Nccl, ALostRankIsNamedWithWhatWasExpectedOfIt) {
  NcclStandIn world(3);
  const auto begin = std::chrono::steady_clock::now();
  const auto told =
      failures(world, 3, {.pairs = all_pairs(3), .limit_seconds = short_limit}, [&](Transport& transport) {
        if (transport.rank() == 1) return world.lose(1);
        transport.receive(1, header(lane, 100, 7, 3), Buffer::allocate(100))->wait();
      });
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
  for (const int rank : {0, 2})
    EXPECT_THAT(told[rank], AllOf(HasSubstr("a receive from rank 1"), HasSubstr("step 7, microbatch 3"),
                                  HasSubstr("has not ended")));
}

// After join() the host is not told by a wait: check() tells, and the aborted call lets the compute stream go on.
TEST(Nccl, AfterAJoinCheckTellsOfALostRank) {
  NcclStandIn world(2);
  const auto told =
      failures(world, 2, {.pairs = all_pairs(2), .limit_seconds = short_limit}, [&](Transport& transport) {
        if (transport.rank() == 1) return world.lose(1);
        const auto posted = transport.receive(1, header(lane, 100), Buffer::allocate(100));
        posted->join();
        std::atomic<bool> computed{false};
        world.compute(0, [&] { computed = true; });
        while (!computed) std::this_thread::yield();
        transport.check();
        ADD_FAILURE() << "nothing thrown";
      });
  EXPECT_THAT(told[0], HasSubstr("a receive from rank 1"));
}

TEST(Nccl, WhatNcclReportsEndsTheRunWithTheNameOfTheConnection) {
  NcclStandIn world(2);
  std::atomic<bool> posted{false};
  const auto told = failures(world, 2, {.pairs = all_pairs(2), .limit_seconds = 20}, [&](Transport& transport) {
    if (transport.rank() == 1) {
      while (!posted) std::this_thread::yield();
      return world.break_connections(1);
    }
    const auto receive = transport.receive(1, header(lane, 100), Buffer::allocate(100));
    posted = true;
    receive->wait();
  });
  EXPECT_THAT(told[0], AllOf(HasSubstr("messages from rank"), HasSubstr("NCCL says error 6")));
}

TEST(Nccl, ACallThatFailsIsNamed) {
  NcclStandIn world(2);
  const auto told =
      failures(world, 2, {.pairs = all_pairs(2), .limit_seconds = short_limit}, [&](Transport& transport) {
        if (transport.rank() == 0) world.refuse_calls(0);
        if (transport.rank() == 0) transport.send(1, header(lane, 100), patterned(1, 100))->wait();
      });
  EXPECT_THAT(told[0], AllOf(HasSubstr("a send to rank 1"), HasSubstr("failed: NCCL says error 3")));
}

// Rank 1 never asks for its communicators: what is being made is aborted.
TEST(Nccl, ACommunicatorThatNeverComesIsAborted) {
  NcclStandIn world(2);
  std::string told;
  run_loopback(2, [&](Transport& host) {
    if (host.rank() == 1) {
      MessageHeader id;
      id.lane = {MessageKind::report, 3, 0};
      id.bytes = sizeof(NcclId);
      host.receive(0, id, Buffer::allocate(sizeof(NcclId)))->wait();
      return;
    }
    try {
      make_nccl(host, world.gpu(0), {.pairs = all_pairs(2), .limit_seconds = short_limit});
    } catch (const Error& error) {
      told = error.what();
    }
  });
  EXPECT_THAT(told, AllOf(HasSubstr("the communicator of messages from rank 0 to rank 1"),
                          HasSubstr("could not be started within 1 s")));
  EXPECT_EQ(world.communicators(), 0);
  EXPECT_EQ(world.misuses(), 0);
}

TEST(Nccl, ARankLostInACollectiveIsAnErrorThatNamesItsMembers) {
  NcclStandIn world(3);
  const auto told = failures(world, 3, {.pairs = {}, .limit_seconds = short_limit}, [&](Transport& transport) {
    const auto over = transport.make_collectives({0, 1, 2}, 1, 1);
    std::vector<float> values(1'000, 1);
    over->all_reduce(std::span(values));
    if (transport.rank() == 2) return world.lose(2);
    over->all_reduce(std::span(values));
  });
  for (const int rank : {0, 1})
    EXPECT_THAT(told[rank], AllOf(HasSubstr("a sum of 4000 bytes, number 2 of the collectives of ranks 0, 1 and 2"),
                                  HasSubstr("has not ended")));
}

TEST(Nccl, AMemberWithOtherSizesIsAnErrorWithinTheLimit) {
  NcclStandIn world(2);
  const auto told = failures(world, 2, {.pairs = {}, .limit_seconds = short_limit}, [&](Transport& transport) {
    const auto over = transport.make_collectives({0, 1}, 1, 1);
    std::vector<float> values(1'000, 1);
    over->all_reduce(std::span(values).first(transport.rank() == 0 ? 1'000 : 500));
  });
  EXPECT_THAT(told[0], HasSubstr("a sum of 4000 bytes"));
  EXPECT_THAT(told[1], HasSubstr("a sum of 2000 bytes"));
}

// A call of the driver that waits for a lost rank's kernel keeps the watch from aborting: the run is ended from
// outside.
TEST(Nccl, ADriverThatDoesNotAnswerEndsTheRun) {
  NcclStandIn world(2);
  std::mutex mutex;
  std::string told;
  std::atomic<bool> over{false};
  NcclOptions options{.pairs = all_pairs(2), .limit_seconds = short_limit};
  options.stuck = [&](const std::string& reason) {
    std::lock_guard lock(mutex);
    told += reason;
    over = true;
  };
  failures(world, 2, options, [&](Transport& transport) {
    if (transport.rank() == 0) {
      const auto posted = transport.receive(1, header(lane, 100), Buffer::allocate(100));
      world.freeze(0, true);
      while (!over) std::this_thread::yield();
      world.freeze(0, false);
      posted->wait();
    } else {
      while (!over) std::this_thread::yield();
    }
  });
  EXPECT_THAT(told, AllOf(HasSubstr("rank 0: CUDA or NCCL has not answered for 1 s"),
                          HasSubstr("a receive from rank 1: activation, boundary 2")));
}

TEST(Nccl, AbortEndsTheOthersToo) {
  NcclStandIn world(2);
  std::string told;
  try {
    run_loopback(2, [&](Transport& host) {
      const auto transport = make_nccl(host, world.gpu(host.rank()), {.pairs = all_pairs(2), .limit_seconds = 20});
      if (transport->rank() == 0) transport->abort(75, "stopped on request");
      transport->receive(1 - transport->rank(), header({MessageKind::report, 9, 0}, 8), Buffer::allocate(8))->wait();
    });
    FAIL() << "nothing thrown";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "rank 0: stopped on request");
  }
}

TEST(Nccl, WithHeadersAMismatchIsToldWithBothSides) {
  NcclStandIn world(2);
  const MessageHeader sent = header(lane, 100, 4, 1), expected = header(lane, 100, 5, 1);
  const auto told = failures(
      world, 2, {.pairs = all_pairs(2), .limit_seconds = 20, .check_headers = true},
      [&](Transport& transport) {
        for (const bool same : {true, false}) {
          if (transport.rank() == 0)
            transport.send(1, same ? expected : sent, patterned(1, 100))->wait();
          else
            transport.receive(0, expected, Buffer::allocate(100))->wait();
        }
      },
      ExitCode::gave_up);
  EXPECT_EQ(told[0], "");
  EXPECT_THAT(told[1], AllOf(HasSubstr("rank 1 received another message from rank 0"), HasSubstr(describe(expected)),
                             HasSubstr(describe(sent))));
}

TEST(Nccl, APairThatIsNotConnectedIsRefused) {
  NcclStandIn world(3);
  const auto told = failures(
      world, 3, {.pairs = {{0, 1}}, .limit_seconds = 5},
      [](Transport& transport) {
        if (transport.rank() == 0) transport.send(2, header(lane, 8), patterned(1, 8));
        if (transport.rank() == 1) transport.send(0, header(lane, 8), patterned(1, 8));
      },
      ExitCode::gave_up);
  EXPECT_THAT(told[0], HasSubstr("rank 0 sends to rank 2, which the plan's placement does not connect"));
  EXPECT_THAT(told[1], HasSubstr("rank 1 sends to rank 0"));
}

TEST(Nccl, MoreDirectionsThanTheGpuHasRoomForAreRefused) {
  NcclStandIn world(4);
  for (int rank = 0; rank < 4; ++rank) world.facts(rank).multiprocessors = 55;
  try {
    on_stand_in(world, 4, {.pairs = all_pairs(4)}, [](Transport&) {});
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::config);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("in 6 directions"), HasSubstr("56 thread blocks"),
                                    HasSubstr("55 multiprocessors"), HasSubstr("parallel.transport = \"mpi\"")));
  }
}

}  // namespace
}  // namespace interlock
