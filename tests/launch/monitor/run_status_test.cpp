// The status of runs made by hand: alive, over, dead; with clocks an hour apart.
#include "launch/monitor/run_status.h"

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "launch/monitor/event_log.h"
#include "runtime/core/error.h"
#include "tests/launch/monitor/pulses.h"
#include "tests/observe/temporary_folder.h"

namespace interlock::test {
namespace {

using testing::HasSubstr;

double calendar() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

class Status : public testing::Test {
 protected:
  Status() {
    std::ofstream(folder / "config.toml") << "[data]\nsequence_length = 32\n[run]\nsteps = 100\n";
    std::ofstream(folder / "metrics.jsonl")
        << R"({"step":1,"loss":5.5,"tokens_per_second":900.0,"idle_share":0.25,"validation_loss":5.25})"
        << "\n"
        << R"({"step":2,"loss":5.0,"tokens_per_second":1000.0,"idle_share":0.5})"
        << "\n"
        << R"({"step":3,"lo)";
  }
  PulseRecord alive(int rank, int64_t waits_for = waits_for_nobody) const {
    PulseRecord pulse = pulse_of(rank, 40 + rank, message(rank, "F0"), waits_for);
    pulse.wall = calendar();
    pulse.now = 1000;
    pulse.changed_at = 998;
    pulse.rss_mib = 123;
    return pulse;
  }
  TemporaryFolder folder;
};

TEST_F(Status, OfARunThatGoesOn) {
  for (int rank = 0; rank < 3; ++rank) put_pulse(folder.path(), alive(rank, rank == 0 ? 1 : waits_for_nobody), 5);
  PulseRecord slow = alive(3);
  slow.busy_seconds.fill(2);
  put_pulse(folder.path(), slow, 5);
  const RunStatus status = read_status(folder.path());
  const auto json = nlohmann::json::parse(status_json(status));
  EXPECT_EQ(json["state"], "running");
  EXPECT_EQ(json["step"], 43);
  EXPECT_EQ(json["steps"], 100);
  EXPECT_EQ(json["loss"], 5.0);
  EXPECT_EQ(json["validation_loss"], 5.25);
  EXPECT_EQ(json["seconds_left"], 57.0);  // a second for each
  ASSERT_EQ(json["ranks"].size(), 4u);
  const auto& rank = json["ranks"][0];
  EXPECT_EQ(rank["rank"], 0);
  EXPECT_EQ(rank["host"], "far-away");
  EXPECT_EQ(rank["step"], 40);
  EXPECT_EQ(rank["action"], "0F0");
  EXPECT_EQ(rank["waits_for"], 1);
  EXPECT_NEAR(rank["seconds_since"].get<double>(), 2, 1) << "and what passed since it was written";
  EXPECT_EQ(rank["rss_mib"], 123.0);
  const std::string text = status_text(status, 80);
  EXPECT_THAT(text, HasSubstr("running  step 43/100  loss 5.0000  held-out 5.2500  1000 tokens/s  idle 50 %"));
  EXPECT_THAT(text, HasSubstr("\n57.0 s left\n")) << "what does not fit goes on in the next line";
  EXPECT_THAT(text, HasSubstr("slow: 4.0 x")) << "before what a rank waits for";
  EXPECT_THAT(status_text(status, 120), HasSubstr("waits for rank 1"));
  EXPECT_THAT(status_text(status, 120), HasSubstr("slow: 4.0 x"))
      << "2 s of computing beside a median of half a second";
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 80u) << line;
}

TEST_F(Status, OfARunThatIsOver) {
  PulseRecord pulse = alive(0);
  pulse.phase = PulsePhase::ended;
  put_pulse(folder.path(), pulse, 5);
  EXPECT_EQ(read_status(folder.path()).state, "ended");
}

TEST_F(Status, OfARunThatDied) {
  PulseRecord pulse = alive(0);
  pulse.wall -= 500;
  put_pulse(folder.path(), pulse, 5);
  const RunStatus status = read_status(folder.path());
  EXPECT_EQ(status.state, "stopped");
  EXPECT_NEAR(status.ranks[0].seconds_since, 502, 5);
  EXPECT_FALSE(status.seconds_left);
}

TEST_F(Status, OfARunThatDiedSaysWhyAndOfOneThatIsStartedAgainThatItGoesOn) {
  PulseRecord pulse = alive(0);
  pulse.wall -= 500;
  put_pulse(folder.path(), pulse, 5);
  EventLog log(folder.path());
  log.add({"lost", 2, 41,
           "rank 2 on a-host-with-a-long-name was killed by signal 9 (SIGKILL); SIGKILL comes from a person"});
  RunStatus status = read_status(folder.path());
  EXPECT_EQ(status.state, "stopped");
  const std::string text = status_text(status, 80);
  EXPECT_THAT(text, HasSubstr("\nlost at step 41, "));
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 80u) << line;
  const auto json = nlohmann::json::parse(status_json(status));
  EXPECT_EQ(json["event"]["event"], "lost");
  EXPECT_EQ(json["event"]["rank"], 2);

  log.add({"restart", std::nullopt, 40, "start 1 of 5"});
  status = read_status(folder.path());
  EXPECT_EQ(status.state, "restarting");
  EXPECT_TRUE(status.goes_on());
  std::ofstream(folder / EventLog::file_name)
      << R"({"time":"2026-01-31T12:00:00Z","event":"restart","rank":null,"step":40,"reason":"start 1 of 5"})"
      << "\n";
  EXPECT_EQ(read_status(folder.path()).state, "stopped") << "its supervisor has died since";
}

// Killed a moment ago, on this host: nobody need wait until it is quiet.
TEST_F(Status, OfARunThatDiedJustNow) {
  const pid_t child = fork();
  if (child == 0) _exit(0);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  PulseRecord pulse = alive(0);
  std::snprintf(pulse.host, sizeof pulse.host, "%s", own_host().c_str());
  pulse.pid = child;
  put_pulse(folder.path(), pulse, 5);
  EXPECT_EQ(read_status(folder.path()).state, "stopped");
  pulse.pid = getpid();
  put_pulse(folder.path(), pulse, 6);
  EXPECT_EQ(read_status(folder.path()).state, "running");
}

TEST_F(Status, ClocksAnHourApartDoNotMatterWhileItBeats) {
  PulseRecord pulse = alive(0);
  pulse.wall += 3600;
  put_pulse(folder.path(), pulse, 5);
  std::thread rank([&] {
    for (uint64_t beat = 6; beat < 10; ++beat) {
      std::this_thread::sleep_for(std::chrono::milliseconds(400));
      put_pulse(folder.path(), pulse, beat);
    }
  });
  EXPECT_EQ(read_status(folder.path()).state, "running");
  rank.join();
  EXPECT_EQ(read_status(folder.path()).state, "stopped");
}

TEST_F(Status, OfARunBeforeItTellsAnything) {
  const RunStatus status = read_status(folder.path());
  EXPECT_EQ(status.step, 2) << "of the metrics";
  EXPECT_THAT(status_text(status, 80), HasSubstr("no rank has told anything"));
  EXPECT_EQ(nlohmann::json::parse(status_json(status))["ranks"].size(), 0u);
}

TEST_F(Status, OfSomethingElseIsRefused) {
  const TemporaryFolder empty;
  for (const std::string& path : {empty.path(), empty / "absent"}) {
    try {
      read_status(path);
      ADD_FAILURE() << path;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::bad_input);
      EXPECT_THAT(error.what(), HasSubstr("is no run folder"));
    }
  }
}

}  // namespace
}  // namespace interlock::test
