// Ranks that are heard over TCP and metrics that are asked for, over real processes: neither strangers at the ports nor
// ports that cannot be had change anything of a run.
#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/launch/heartbeat/stranger.h"
#include "tests/support/small_project.h"

namespace interlock {
namespace {

using test::Stranger;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// A port that nobody listens on at this moment, and a socket that keeps it.
struct Port {
  Port() {
    sockaddr_in where{};
    where.sin_family = AF_INET;
    inet_pton(AF_INET, "127.0.0.1", &where.sin_addr);
    bind(socket_, reinterpret_cast<sockaddr*>(&where), sizeof where);
    socklen_t size = sizeof where;
    getsockname(socket_, reinterpret_cast<sockaddr*>(&where), &size);
    number = ntohs(where.sin_port);
  }
  ~Port() { release(); }
  void release() {
    if (socket_ >= 0) close(socket_);
    socket_ = -1;
  }
  void occupy() const { listen(socket_, 1); }
  std::string key(const std::string& name) const {
    return "monitor." + name + "='127.0.0.1:" + std::to_string(number) + "'";
  }
  uint16_t number = 0;

 private:
  int socket_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
};

class Monitor : public SmallProject {
 protected:
  static nlohmann::json digest_of(const CommandResult& result) {
    expect_done(result);
    return last_object(result)["digest"];
  }
  nlohmann::json plain() const { return digest_of(train({"run.folder='plain'"}, {"--json"})); }
  long steps_done() const {
    std::ifstream file(path("run/metrics.jsonl"));
    return std::count(std::istreambuf_iterator<char>(file), {}, '\n');
  }
  static std::string asked(uint16_t port) {
    const Stranger visitor(port);
    visitor.say("GET /metrics HTTP/1.1\r\n\r\n");
    std::string all;
    for (std::string part = visitor.hear(); !part.empty(); part = visitor.hear()) all += part;
    return all;
  }
};

std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST_F(Monitor, ARunIsWatchedOverTcpAndStrangersChangeNothing) {
  Port heartbeats, metrics;
  Words words{program()};
  const Words train = train_words({"run.steps=1000000", "run.evaluate_every=0", "run.trace_steps=0",
                                   heartbeats.key("listen"), metrics.key("metrics")});
  words.insert(words.end(), train.begin(), train.end());
  heartbeats.release();
  metrics.release();
  CommandOptions options;
  options.folder = path().string();
  RunningCommand run(words, options);
  ASSERT_TRUE(run.wait_until([&] { return steps_done() >= 3; })) << run.wait(0).all;

  const std::string told = asked(metrics.number);
  EXPECT_THAT(told, AllOf(HasSubstr("HTTP/1.1 200 OK"), HasSubstr("\ninterlock_running 1\n"),
                          HasSubstr("\ninterlock_rank_step{rank=\"3\",host=\"")));
  {
    const Stranger scanner(heartbeats.number), talker(heartbeats.number);
    EXPECT_TRUE(scanner.connected());
    EXPECT_FALSE(scanner.hear().empty()) << "the head greets";
    talker.say("GET / HTTP/1.1\r\n\r\n");
    EXPECT_TRUE(talker.is_dropped());
  }
  // The secret is in no environment: what stands there says that there is one, and that is all.
  for (int rank = 0; rank < 4; ++rank) {
    const std::string process = "/proc/" + std::to_string(run.rank(rank));
    const std::string environment = content_of(process + "/environ");
    EXPECT_THAT(environment, HasSubstr(std::string("INTERLOCK_INVITED=1\0", 20)));
    std::istringstream variables(environment);
    for (std::string one; std::getline(variables, one, '\0');)
      // The word of a launch is no secret: ranks say it aloud, to show that they came up.
      if (one.starts_with("INTERLOCK_") && !one.starts_with("INTERLOCK_TEST_") &&
          !one.starts_with("INTERLOCK_LAUNCH=") && !one.starts_with("INTERLOCK_DATA=")) {
        EXPECT_EQ(one.substr(one.find('=')), "=1") << one;
      }
  }
  const long before = steps_done();
  EXPECT_TRUE(run.wait_until([&] { return steps_done() > before + 3; })) << "it goes on";
  run.signal(SIGTERM);
  const CommandResult result = run.wait();
  EXPECT_EQ(result.code, 75) << result.all;
  EXPECT_THAT(result.all, Not(HasSubstr("no heartbeat")));
  EXPECT_THAT(result.left_running, IsEmpty());
}

TEST_F(Monitor, PortsInUseAreWarningsAndTheBitsStay) {
  Port heartbeats, metrics;
  heartbeats.occupy();
  metrics.occupy();
  const CommandResult result = train({heartbeats.key("listen"), metrics.key("metrics")}, {"--json"});
  EXPECT_EQ(digest_of(result), plain());
  EXPECT_THAT(result.errors, AllOf(HasSubstr("warning: monitor.listen: cannot listen on 127.0.0.1:"),
                                   HasSubstr("warning: monitor.metrics: cannot listen on 127.0.0.1:")));
}

TEST_F(Monitor, UnderABareMpirunRankZeroListens) {
  Words words{"mpirun"};
  if (geteuid() == 0) words.push_back("--allow-run-as-root");
  words.insert(words.end(), {"--oversubscribe", "-n", "4", program()});
  const Words train = train_words({"monitor.listen='127.0.0.1:0'"}, {"--json"});
  words.insert(words.end(), train.begin(), train.end());
  CommandOptions options;
  options.folder = path().string();
  const CommandResult result = run_command(words, options);
  EXPECT_EQ(digest_of(result), plain());
  EXPECT_THAT(result.errors, Not(HasSubstr("heartbeat")));
}

TEST_F(Monitor, AddressesThatCannotBeMeantAreRefused) {
  expect_failure(train({"monitor.listen='0.0.0.0:7000'"}), 64, {"monitor", "listen", "every network"});
  expect_failure(train({"monitor.listen='localhost:7000'"}), 64, {"monitor", "listen", "in numbers"});
  expect_failure(train({"monitor.metrics='10.0.0.1:9400'"}), 64, {"monitor", "metrics", "127.0.0.1"});
}

// Links with a latency of minutes: all wait for a message, and nobody stands above the threads.
TEST_F(Monitor, RanksAsThreadsThatHangAreEndedToo) {
  const CommandResult result =
      train_threads({"parallel.link_latency=600", "monitor.stall_seconds=1", "monitor.startup_seconds=2"});
  expect_failure(result, 71, {"no rank has got on for"});
  EXPECT_LT(result.seconds, 20);
  EXPECT_THAT(read("run/events.jsonl"), HasSubstr("\"event\":\"hung\""));
}

}  // namespace
}  // namespace interlock
