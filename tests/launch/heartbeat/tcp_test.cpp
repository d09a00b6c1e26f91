// Both ends over real sockets on loopback, and the peers that a port meets: strangers, garbage, the slow and the many.
// Strangers are plain sockets, so that nothing of the code under test helps them.
#include <gmock/gmock.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <mutex>
#include <thread>

#include "launch/heartbeat/beat.h"
#include "launch/heartbeat/node.h"
#include "launch/heartbeat/session.h"
#include "runtime/core/error.h"
#include "tests/launch/heartbeat/stranger.h"
#include "tests/launch/monitor/pulses.h"

namespace interlock::test {
namespace {

using std::chrono::steady_clock;

class Tcp : public testing::Test {
 protected:
  void listen(double handshake_seconds = 5, int failures = 1 << 20) {
    head = std::make_unique<HeartbeatHead>(ListenAddress{"127.0.0.1", 0}, secret, 4,
                                           HeartbeatHead::Limits{handshake_seconds, 2, failures});
  }
  std::unique_ptr<HeartbeatNode> node(uint16_t port, const Secret& with) {
    HeartbeatNode::Settings settings{{"127.0.0.1", port}, with, "alpha", [this] {
                                       const std::lock_guard lock(mutex);
                                       return ranks;
                                     }};
    settings.stopped = [this] { stopped = true; };
    settings.seconds_between = 0.05;
    settings.patience = 2;
    return std::make_unique<HeartbeatNode>(std::move(settings));
  }
  std::unique_ptr<HeartbeatNode> node() { return node(head->port(), secret); }
  bool soon(const std::function<bool()>& holds, double seconds = 10) const {
    const auto end = steady_clock::now() + std::chrono::duration<double>(seconds);
    while (!holds() && steady_clock::now() < end) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return holds();
  }
  bool hears_step(int64_t step) {
    {
      const std::lock_guard lock(mutex);
      for (PulseRecord& rank : ranks) rank.step = step;
    }
    return soon([&] {
      const auto heard = head->records();
      return heard.size() == ranks.size() && heard.back().step == step;
    });
  }
  const Secret secret = random_bytes();
  std::unique_ptr<HeartbeatHead> head;
  std::mutex mutex;
  std::vector<PulseRecord> ranks{pulse_of(0, 1, "0F0"), pulse_of(1, 1, "1F0")};
  std::atomic<bool> stopped{false};
};

TEST_F(Tcp, WhatRanksDoIsHeardAndTheEndIsSaid) {
  listen();
  const auto alpha = node();
  EXPECT_TRUE(hears_step(5));
  EXPECT_TRUE(hears_step(6));
  EXPECT_EQ(head->records()[1].action(), "1F0");
  EXPECT_LT(head->silence().at("alpha"), 2);
  {
    const std::lock_guard lock(mutex);
    ranks[0].actions = 300;
    for (auto& action : ranks[0].last) std::strcpy(action.text, "9F9");
  }
  EXPECT_TRUE(hears_step(7));
  head->ask_for_dumps();
  EXPECT_TRUE(soon([&] { return std::string(head->records()[0].last_actions(200)[0].text) == "9F9"; }))
      << "a beat has one action, a dump all";
  EXPECT_FALSE(stopped);
  head->say_stop();
  EXPECT_TRUE(soon([&] { return stopped.load(); }));
}

TEST_F(Tcp, AHeadThatComesBackIsFoundAgain) {
  listen();
  const uint16_t port = head->port();
  const auto alpha = node();
  EXPECT_TRUE(hears_step(5));
  head.reset();  // without a word, as one that is killed
  EXPECT_TRUE(soon([&] { return !alpha->joined(); }));
  head = std::make_unique<HeartbeatHead>(ListenAddress{"127.0.0.1", port}, secret, 4);
  EXPECT_TRUE(hears_step(6));
  EXPECT_FALSE(stopped);
}

TEST_F(Tcp, NobodyThereIsAWarningAndNoMore) {
  uint16_t port = 0;
  {
    listen();
    port = head->port();
    head.reset();
  }
  testing::internal::CaptureStderr();
  {
    const auto alpha = node(port, secret);
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    EXPECT_FALSE(alpha->joined());
  }
  EXPECT_THAT(testing::internal::GetCapturedStderr(), testing::HasSubstr("the run goes on"));
  EXPECT_FALSE(stopped);
}

TEST_F(Tcp, AWrongSecretIsTurnedAway) {
  listen();
  const auto stranger = node(head->port(), random_bytes());
  EXPECT_TRUE(soon([&] { return head->counts().failed > 0; }));
  EXPECT_FALSE(stranger->joined());
  EXPECT_TRUE(head->records().empty());
  const auto alpha = node();
  EXPECT_TRUE(hears_step(5));
}

TEST_F(Tcp, GarbageAndHugeLengthsEndThatConnectionAlone) {
  listen();
  const auto alpha = node();
  EXPECT_TRUE(hears_step(2));
  for (const std::string& bytes : {std::string("GET / HTTP/1.1\r\n\r\n"), std::string("\x7f\xff\xff\xff", 4),
                                   std::string(100'000, '\0'), std::string("\x00\x00\x00\x29garbage", 11)}) {
    const Stranger stranger(head->port());
    stranger.say(bytes);
    if (bytes.size() == 11) continue;  // the beginning of a frame that may still come
    EXPECT_TRUE(stranger.is_dropped()) << bytes.substr(0, 20);
  }
  EXPECT_TRUE(hears_step(3));
  EXPECT_TRUE(soon([&] { return head->counts().joined == 1 && head->counts().failed == 4; }));
}

TEST_F(Tcp, HalfAHandshakeIsGivenUp) {
  listen(0.3);
  const auto alpha = node();
  EXPECT_TRUE(hears_step(2));
  const Stranger silent(head->port()), slow(head->port());
  EXPECT_FALSE(silent.hear().empty()) << "the head greets";
  std::thread dripping([&] {
    for (int i = 0; i < 40 && slow.say(std::string_view("\x00\x00\x00\x60", 4).substr(i % 4, 1)); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(25));
  });
  const auto begin = steady_clock::now();
  EXPECT_TRUE(silent.is_dropped());
  EXPECT_TRUE(slow.is_dropped());
  EXPECT_LT(std::chrono::duration<double>(steady_clock::now() - begin).count(), 5);
  dripping.join();
  EXPECT_TRUE(hears_step(3));
}

TEST_F(Tcp, AReplayedConversationIsRefused) {
  listen();
  Session real(Session::Role::node, secret, "alpha");
  std::string recorded;
  {
    const Stranger first(head->port());
    real.take(first.hear());
    recorded = real.output();
    first.say(recorded);
    real.take(first.hear());
    ASSERT_TRUE(real.joined());
    real.say(FrameKind::beat, beats_of(ranks)[0]);
    recorded += real.output();
    first.say(recorded.substr(recorded.size() - 1000));  // rubbish in the midst of a conversation
    EXPECT_TRUE(first.is_dropped());
  }
  const Stranger second(head->port());
  second.hear();
  second.say(recorded);
  EXPECT_TRUE(second.is_dropped());
  EXPECT_TRUE(head->records().empty());
}

long open_files() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator());
}

double resident_mib() {
  std::ifstream file("/proc/self/statm");
  long all = 0, resident = 0;
  file >> all >> resident;
  return static_cast<double>(resident * sysconf(_SC_PAGESIZE)) / (1 << 20);
}

// 2 x 4 ranks + 16 are taken, the others closed at once; who has joined is heard all the while.
TEST_F(Tcp, AThousandConnectionsAreTooManyAndChangeNothing) {
  listen(0.5);
  const auto alpha = node();
  ASSERT_TRUE(hears_step(2));
  const long files = open_files();
  const double memory = resident_mib();
  {
    std::vector<std::unique_ptr<Stranger>> many;
    for (int i = 0; i < 1000; ++i) {
      many.push_back(std::make_unique<Stranger>(head->port()));
      if (many.size() == 250) many.clear();  // descriptors of this process are limited too
    }
    EXPECT_TRUE(hears_step(3));
    EXPECT_LE(head->counts().connections, 24);
  }
  EXPECT_TRUE(soon([&] { return head->counts().connections == 1; }));
  EXPECT_TRUE(hears_step(4));
  EXPECT_TRUE(soon([&] { return head->counts().refused > 100; }));  // as its thread gets to them
  EXPECT_LE(open_files(), files + 2);
  EXPECT_LT(resident_mib(), memory + 8);
}

TEST_F(Tcp, AnAddressThatFailsTooOftenIsNotHeard) {
  listen(5, 5);
  for (int i = 0; i < 5; ++i) {
    const Stranger stranger(head->port());
    stranger.say("\xff\xff\xff\xff");
    EXPECT_TRUE(stranger.is_dropped());
  }
  EXPECT_TRUE(soon([&] { return head->counts().failed >= 5; }));
  const Stranger one_more(head->port());
  EXPECT_EQ(one_more.hear(), "") << "closed without a greeting";
}

TEST_F(Tcp, APortInUseIsSaid) {
  listen();
  try {
    const HeartbeatHead second({"127.0.0.1", head->port()}, secret, 4);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr(message("cannot listen on 127.0.0.1:", head->port(), ": ")));
  }
  EXPECT_THROW(HeartbeatHead({"203.0.113.7", 0}, secret, 4), Error) << "no address of this machine";
}

}  // namespace
}  // namespace interlock::test
