// The conformance tests over loopback, and what only loopback promises.
#include "parallel/transport/loopback.h"

#include <gmock/gmock.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <iostream>

#include "runtime/core/error.h"
#include "tests/transport/conformance.h"

namespace interlock {

namespace conformance {

uint64_t test_run() { return static_cast<uint64_t>(testing::UnitTest::GetInstance()->current_test_info()->line()) + 1; }

void on_ranks(const std::function<void(Transport&)>& body) {
  run_loopback(ranks, [&](Transport& transport) {
    body(transport);
    world(transport, 99).barrier();
  });
}

}  // namespace conformance

namespace {

using conformance::header;
using conformance::patterned;
using testing::HasSubstr;
using testing::StartsWith;

constexpr Lane lane{MessageKind::activation, 0, 0};

TEST(Loopback, TheFirstFailureEndsAllRanksAndIsRethrownWithItsRank) {
  std::atomic<int> ended_by_peer{0};
  try {
    run_loopback(4, [&](Transport& transport) {
      if (transport.rank() == 2) throw Error(ExitCode::bad_input, "file x is corrupt");
      try {
        transport.receive(2, header(lane, 8), Buffer::allocate(8))->wait();
      } catch (const Error& error) {
        EXPECT_THAT(error.what(), HasSubstr("rank 2 ended the run: file x is corrupt"));
        ++ended_by_peer;
        throw;
      }
    });
    FAIL() << "nothing thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::bad_input);
    EXPECT_STREQ(error.what(), "rank 2: file x is corrupt");
  }
  EXPECT_EQ(ended_by_peer, 3);
}

// Two of eight fit into the address space, and wait for the rest. In a process of its own, as limits are for all of it.
TEST(Loopback, AThreadThatCannotBeStartedEndsTheRun) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers need the address space";
#endif
  const auto starved = [] {
    constexpr size_t stack = size_t{1} << 30;
    long pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    const rlim_t most = static_cast<rlim_t>(pages * sysconf(_SC_PAGESIZE)) + 5 * stack / 2;
    const rlimit limit{most, most};
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, stack);
    pthread_setattr_default_np(&attributes);
    setrlimit(RLIMIT_AS, &limit);
    try {
      run_loopback(8, [](Transport& transport) { conformance::world(transport, 99).barrier(); });
    } catch (const Error& error) {
      std::cerr << error.what() << std::endl;
      _exit(static_cast<int>(error.code()));
    }
    _exit(0);
  };
  EXPECT_EXIT(starved(), testing::ExitedWithCode(70), "rank 2: its thread, of 8, cannot be started .*fewer ranks");
}

TEST(Loopback, AForeignExceptionEndsTheRunToo) {
  try {
    run_loopback(2, [](Transport& transport) {
      if (transport.rank() == 1) throw std::runtime_error("out of luck");
      transport.send(1, header(lane, 8), patterned(1, 8))->wait();
    });
    FAIL() << "nothing thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::gave_up);
    EXPECT_THAT(error.what(), StartsWith("rank 1: out of luck"));
  }
}

TEST(Loopback, AbortMakesEveryWaitThrow) {
  std::atomic<int> thrown{0};
  try {
    run_loopback(3, [&](Transport& transport) {
      const auto pending = transport.receive((transport.rank() + 1) % 3, header(lane, 8), Buffer::allocate(8));
      if (transport.rank() == 0) transport.abort(75, "stopped on request");
      EXPECT_THROW(pending->wait(), Error);
      EXPECT_TRUE(pending->done());
      ++thrown;
    });
    FAIL() << "an aborted run must not look like a finished one";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::stopped);
    EXPECT_STREQ(error.what(), "rank 0: stopped on request");
  }
  EXPECT_EQ(thrown, 3);
}

// One member dies after the others have begun; what is under way in its memory and theirs must outlive all of them.
TEST(Loopback, AMemberThatFailsEndsTheCollectivesOfTheOthers) {
  std::atomic<int> ended_by_peer{0};
  try {
    run_loopback(4, [&](Transport& transport) {
      Group group = conformance::world(transport, 1);
      const auto values = std::make_shared<std::vector<float>>(40'000, 1.0f);
      const std::vector<Group::Range> cut{{0, 10'000, 0}, {10'000, 30'000, 2}, {30'000, 40'000, 3}};
      std::vector<Group::Shard> shards;
      for (const auto& [begin, end, owner] : cut)
        shards.push_back({std::as_writable_bytes(std::span(*values).subspan(begin, end - begin)), owner});
      const auto scatter = group.begin_reduce_scatter(std::span(*values), cut, values);
      if (transport.rank() == 2) throw Error(ExitCode::bad_input, "file x is corrupt");
      const auto gather = group.begin_all_gather(shards, values);
      const auto sum = group.begin_all_reduce(std::span(*values), values);
      for (const auto& collective : {gather.get(), sum.get()}) {
        try {
          collective->finish();
          ADD_FAILURE() << "done without rank 2";
        } catch (const Error& error) {
          EXPECT_THAT(error.what(), HasSubstr("rank 2 ended the run: file x is corrupt"));
          ++ended_by_peer;
        }
      }
    });
    FAIL() << "nothing thrown";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "rank 2: file x is corrupt");
  }
  EXPECT_EQ(ended_by_peer, 6);
}

TEST(Loopback, TransportsCanBeHeldByOneThread) {
  const auto transports = make_loopback(2);
  const auto send = transports[0]->send(1, header(lane, 100), patterned(1, 100));
  EXPECT_FALSE(send->done());
  const Buffer came = Buffer::allocate(100);
  const auto receive = transports[1]->receive(0, header(lane, 100), came);
  EXPECT_TRUE(send->done());
  receive->wait();
  EXPECT_TRUE(conformance::has_pattern(came, 1, 100));
}

TEST(Buffers, AreAlignedForTensors) {
  for (const uint64_t bytes : {0, 1, 63, 64, 65, 100'000}) {
    const Buffer buffer = Buffer::allocate(bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data) % 64, 0u);
    EXPECT_EQ(buffer.bytes, bytes);
    EXPECT_NE(buffer.data, nullptr);
  }
}

}  // namespace
}  // namespace interlock
