// Ranks that are stopped, hang or die, over real processes: who is named, what is written down, and that a run that was
// started again ends as one that nothing happened to. With INTERLOCK_KILLS=n a run is disturbed n times.
#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <thread>

#include "tests/support/small_project.h"

namespace interlock {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr double stall = 6;       // seconds; far above a step of some milliseconds on a busy machine
constexpr int long_enough = 400;  // steps: some seconds

class Hang : public SmallProject {
 protected:
  Hang() {
    base = {"run.steps=" + std::to_string(long_enough),
            "checkpoint.every=60",
            "run.evaluate_every=100",
            "run.trace_steps=0",
            "monitor.stall_seconds=" + std::to_string(static_cast<int>(stall)),
            "monitor.startup_seconds=30"};
  }
  std::unique_ptr<RunningCommand> start(const Words& options, double seconds = 120) const {
    Words words{program()};
    const Words train = train_words(base, options);
    words.insert(words.end(), train.begin(), train.end());
    CommandOptions process;
    process.folder = path().string();
    process.seconds = seconds;
    return std::make_unique<RunningCommand>(words, process);
  }
  long steps_done() const {
    std::ifstream file(path("run/metrics.jsonl"));
    return std::count(std::istreambuf_iterator<char>(file), {}, '\n');
  }
  bool reaches(RunningCommand& run, long steps) const {
    return run.wait_until([&] { return steps_done() >= steps; });
  }
  static void stop(const RunningCommand& run, int number) {
    const pid_t rank = run.rank(number);
    ASSERT_GT(rank, 0);
    kill(rank, SIGSTOP);
  }
  // Of the ranks of this machine, as /proc tells: "pid (name) state PARENT ...".
  static pid_t mpirun_of(const RunningCommand& run) {
    std::ifstream file("/proc/" + std::to_string(run.rank(0)) + "/stat");
    std::string text;
    std::getline(file, text);
    pid_t parent = -1;
    std::istringstream(text.substr(std::min(text.size(), text.rfind(')') + 3))) >> parent;
    return parent;
  }
  std::unique_ptr<RunningCommand> start_under_mpirun(const Words& options = {}) const {
    Words words{"mpirun", "--oversubscribe", "-n", "4"};
    if (geteuid() == 0) words.push_back("--allow-run-as-root");
    words.push_back(program());
    const Words train = train_words(base, options);
    words.insert(words.end(), train.begin(), train.end());
    CommandOptions process;
    process.folder = path().string();
    return std::make_unique<RunningCommand>(words, process);
  }
  // The same for all tests.
  std::string digest_of_undisturbed() const {
    static std::string digest;
    if (!digest.empty()) return digest;
    Words overrides = base;
    overrides.push_back("run.folder='undisturbed'");
    const CommandResult result = train(overrides, {"--json"});
    expect_done(result);
    return digest = last_object(result)["digest"];
  }
  std::vector<nlohmann::json> events() const {
    std::vector<nlohmann::json> found;
    std::ifstream file(path("run/events.jsonl"));
    for (std::string line; std::getline(file, line);) found.push_back(nlohmann::json::parse(line));
    return found;
  }
  std::vector<std::string> kinds() const {
    std::vector<std::string> found;
    for (const auto& event : events()) found.push_back(event["event"]);
    return found;
  }
  nlohmann::json status() const {
    const CommandResult result = interlock({"status", "run", "--json"});
    expect_done(result);
    return last_object(result);
  }
  Words base;
};

TEST_F(Hang, StoppedForThreeSecondsChangesNothing) {
  base.push_back("monitor.stall_seconds=8");
  const auto run = start({"--json"});
  ASSERT_TRUE(reaches(*run, 30));
  const pid_t rank = run->rank(1);
  ASSERT_GT(rank, 0);
  kill(rank, SIGSTOP);
  std::this_thread::sleep_for(std::chrono::milliseconds(2000));
  const nlohmann::json seen = status();
  std::this_thread::sleep_for(std::chrono::milliseconds(1000));
  kill(rank, SIGCONT);
  const CommandResult result = run->wait();
  expect_done(result);
  EXPECT_THAT(events(), IsEmpty());
  EXPECT_EQ(last_object(result)["digest"], digest_of_undisturbed());

  EXPECT_EQ(seen["state"], "running");
  EXPECT_GE(seen["step"], 30);
  EXPECT_EQ(seen["steps"], long_enough);
  ASSERT_EQ(seen["ranks"].size(), 4u);
  int waiting = 0;
  for (const auto& one : seen["ranks"]) {
    EXPECT_GT(one["rss_mib"], 1.0);
    EXPECT_GT(one["seconds_since"], 0.5) << "all stand still: " << one;
    waiting += !one["waits_for"].is_null();
  }
  EXPECT_GE(waiting, 2) << seen;
  EXPECT_EQ(status()["state"], "ended");
  EXPECT_EQ(status()["step"], long_enough);
}

TEST_F(Hang, StoppedForEverIsAVerdictAndAnotherStart) {
  const auto run = start({"--json", "--restarts", "2"});
  ASSERT_TRUE(reaches(*run, 100));
  stop(*run, 2);
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_TRUE(run->wait_until([&] { return !events().empty(); }));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::duration<double>(stall + 10));
  const CommandResult result = run->wait();
  EXPECT_EQ(result.code, 0) << result.all;
  EXPECT_THAT(result.left_running, IsEmpty());
  EXPECT_THAT(result.errors,
              AllOf(HasSubstr("rank 2 on "), HasSubstr("is stopped"), HasSubstr("waits for rank 2"),
                    HasSubstr("restart 1 of 2 from the checkpoint of step "), HasSubstr("what happened to the run")));
  EXPECT_EQ(last_object(result)["digest"], digest_of_undisturbed());
  EXPECT_EQ(kinds(), (std::vector<std::string>{"hung", "restart", "ended"}));
  EXPECT_EQ(events()[0]["rank"], 2);
  EXPECT_GE(events()[0]["step"], 100);
  EXPECT_LE(events()[1]["step"], events()[0]["step"]) << "the run went on behind its verdict";
  EXPECT_THAT(result.output, Not(HasSubstr("}\n{"))) << "two results";
  EXPECT_THAT(events()[0]["reason"].get<std::string>(), HasSubstr("is stopped"));
  std::ifstream file(path("run/verdict.txt"));
  const std::string all{std::istreambuf_iterator<char>(file), {}};
  for (int rank = 0; rank < 4; ++rank) EXPECT_THAT(all, HasSubstr("\nrank " + std::to_string(rank) + " on "));
}

TEST_F(Hang, WithoutRestartsAVerdictIsExitCode71) {
  base.push_back("checkpoint.every=0");  // or it may be one that the rank stops in, which has the longer limit
  const auto run = start({});
  ASSERT_TRUE(reaches(*run, 5));
  stop(*run, 0);
  const CommandResult result = run->wait(stall + 10 + 5);
  EXPECT_EQ(result.code, 71) << result.all;
  EXPECT_THAT(result.left_running, IsEmpty());
  EXPECT_THAT(result.all, AllOf(HasSubstr("interlock: error: no rank has got on for"), HasSubstr("rank 0 on ")));
  EXPECT_EQ(kinds(), (std::vector<std::string>{"hung"}));
  EXPECT_EQ(status()["state"], "stopped");
  EXPECT_LT(status()["step"], long_enough) << "the run went on behind its verdict";
  EXPECT_THAT(result.output, Not(HasSubstr("Trained")));
}

// The launcher is not ours: rank 0 watches, and rank 1 where rank 0 is the one.
TEST_F(Hang, UnderABareMpirunTheRanksWatchThemselves) {
  base.push_back("checkpoint.every=0");
  for (const int victim : {2, 0}) {
    std::filesystem::remove_all(path("run"));
    const auto run = start_under_mpirun();
    ASSERT_TRUE(reaches(*run, 20)) << run->wait(0).all;
    stop(*run, victim);
    const CommandResult result = run->wait(stall + 5 + 10);
    EXPECT_EQ(result.code, 71) << result.all;
    EXPECT_THAT(result.left_running, IsEmpty());
    EXPECT_THAT(result.all, HasSubstr("rank " + std::to_string(victim) + " on "));
    EXPECT_EQ(kinds(), (std::vector<std::string>{"hung"}));
    // Those that wait say where, in our functions by name.
    EXPECT_THAT(read("run/verdict.txt"), AllOf(HasSubstr("stands in:"), HasSubstr("interlock(interlock::")));
  }
}

// Before MPI knows all ranks the others wait for it, and no pulse tells of anybody.
TEST_F(Hang, UnderABareMpirunARankThatIsStoppedBeforeAllHaveMetIsNoticed) {
  constexpr double startup = 6;
  base.push_back("monitor.startup_seconds=6");
  const auto run = start_under_mpirun();
  ASSERT_TRUE(run->wait_until([&] { return run->rank(2) > 0; }));
  stop(*run, 2);
  const CommandResult result = run->wait(startup + 5 + 10);
  EXPECT_EQ(result.code, 71) << result.all;
  EXPECT_THAT(result.left_running, IsEmpty());
  EXPECT_THAT(result.all, HasSubstr("no rank has got on for"));
}

// The ranks train to their end, and cannot leave.
TEST_F(Hang, AnMpirunThatIsStoppedIsAVerdictOnceTheRanksHaveEnded) {
  base.push_back("monitor.checkpoint_seconds=6");
  const auto run = start({"--json", "--restarts", "1"});
  ASSERT_TRUE(reaches(*run, 50));
  ASSERT_GT(mpirun_of(*run), 1);
  kill(mpirun_of(*run), SIGSTOP);
  const CommandResult result = run->wait();
  EXPECT_EQ(result.code, 0) << result.all;
  EXPECT_THAT(result.left_running, IsEmpty());
  EXPECT_THAT(result.errors, HasSubstr("all ranks have done their work"));
  EXPECT_EQ(last_object(result)["digest"], digest_of_undisturbed());
  EXPECT_EQ(kinds(), (std::vector<std::string>{"hung", "restart", "ended"}));
  EXPECT_EQ(events()[0]["step"], long_enough);
}

TEST_F(Hang, ADivergenceIsNotStartedAgain) {
  base.insert(base.end(), {"run.precision='float64'", "optimizer.learning_rate=1e30", "checkpoint.every=1"});
  const CommandResult result = train(base, {"--restarts", "5"});
  expect_failure(result, 70, {"optimizer.learning_rate"});
  EXPECT_THAT(result.all, Not(HasSubstr("restart")));
  EXPECT_EQ(kinds(), (std::vector<std::string>{"gave_up"}));
}

TEST_F(Hang, AConfigErrorIsNotStartedAgainAndThreadsAreRefused) {
  expect_failure(train({"model.layerz=3"}, {"--restarts", "5"}), 64, {"layerz"});
  expect_failure(train_threads({}, {"--restarts", "5"}), 64, {"--restarts 5", "parallel.transport=\"mpi\""});
}

// Kills at random moments, as many as INTERLOCK_KILLS says, or two.
TEST_F(Hang, AfterKillsTheRunEndsAsOneThatNothingHappenedTo) {
  const char* asked = std::getenv("INTERLOCK_KILLS");
  const int kills = asked ? std::atoi(asked) : 2;
  const std::string expected = digest_of_undisturbed();
  const auto run = start({"--json", "--restarts", std::to_string(kills)}, 60 + 20 * kills);
  std::mt19937 random(1);
  const long between = (long_enough - 60) / kills;
  for (int i = 0; i < kills; ++i) {
    ASSERT_TRUE(reaches(*run, 20 + i * between + static_cast<long>(random() % static_cast<unsigned>(between))))
        << run->wait(0).all;
    const pid_t victim = run->rank(static_cast<int>(random() % 4));
    if (victim > 0) kill(victim, i % 3 == 2 ? SIGSEGV : SIGKILL);
    ASSERT_TRUE(run->wait_until([&] { return events().size() >= static_cast<size_t>(2 * (i + 1)); }));
  }
  const CommandResult result = run->wait();
  EXPECT_EQ(result.code, 0) << result.all;
  EXPECT_THAT(result.left_running, IsEmpty());
  EXPECT_EQ(last_object(result)["digest"], expected);
  EXPECT_EQ(events().size(), static_cast<size_t>(2 * kills + 1)) << "lost and restart each time, and the end";
  EXPECT_EQ(events().back()["event"], "ended");
}

// A batch system's mpirun gives its ranks a second: too short for a checkpoint, and none is harmed.
TEST_F(Hang, ABareMpirunThatIsEndedLeavesTheCheckpointBefore) {
  const auto run = start_under_mpirun();
  ASSERT_TRUE(reaches(*run, 130));
  kill(mpirun_of(*run), SIGTERM);
  const CommandResult result = run->wait();
  EXPECT_NE(result.code, 0) << result.all;
  EXPECT_THAT(result.left_running, IsEmpty());
  const CommandResult again = train(base, {"--resume", "--json"});
  expect_done(again);
  EXPECT_GE(last_object(again)["steps"], long_enough);
  EXPECT_EQ(last_object(again)["digest"], digest_of_undisturbed());
}

// Runs that are killed, stopped for ever and asked to stop at random moments, one after another, for as many seconds as
// INTERLOCK_SOAK_SECONDS says: each ends as one that nothing happened to, and nothing is left that grows.
TEST_F(Hang, Soak) {
  const char* asked = std::getenv("INTERLOCK_SOAK_SECONDS");
  if (!asked) GTEST_SKIP() << "INTERLOCK_SOAK_SECONDS says how long";
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(std::atoi(asked));
  const auto shared_memory = [] {
    return std::distance(std::filesystem::directory_iterator("/dev/shm"), std::filesystem::directory_iterator());
  };
  const std::string expected = digest_of_undisturbed();
  const auto segments = shared_memory();
  std::mt19937 random(2);
  const auto below = [&](unsigned limit) { return static_cast<int>(random() % limit); };
  int runs = 0, kills = 0, stops = 0, requests = 0;
  for (; std::chrono::steady_clock::now() < end; ++runs) {
    std::filesystem::remove_all(path("run"));
    CommandResult result;
    for (bool over = false, first = true; !over; first = false) {
      Words options{"--json", "--restarts", "50"};
      if (!first) options.push_back("--resume");
      const auto run = start(options, 300);
      bool asked_to_stop = false;
      for (;;) {
        const auto next = std::chrono::steady_clock::now() + std::chrono::milliseconds(500 + below(3000));
        if (!run->wait_until([&] { return std::chrono::steady_clock::now() >= next; })) break;
        const pid_t victim = run->rank(below(4));
        const int what = below(8);
        if (victim <= 0) continue;
        if (what < 5 && ++kills) kill(victim, SIGKILL);
        if (what == 5 && ++stops) kill(victim, SIGSTOP);
        if (what > 5 && ++requests) run->signal(SIGUSR1), asked_to_stop = true;
      }
      result = run->wait();
      // Who is asked to stop starts nothing again: a rank that is lost meanwhile is for the next start. So is a run
      // that was hit twice before it got anywhere, which gives up by itself.
      const bool got_nowhere = result.code == 70 && result.all.find("without progress") != std::string::npos;
      over = result.code != 75 && !(asked_to_stop && result.code == 71) && !got_nowhere;
      ASSERT_THAT(result.left_running, IsEmpty());
    }
    ASSERT_EQ(result.code, 0) << result.all;
    ASSERT_EQ(last_object(result)["digest"], expected) << "run " << runs;
    expect_no_half_files(path("run"));
  }
  EXPECT_LE(shared_memory(), segments + 2) << "what a killed mpirun leaves";
  std::cout << runs << " runs, " << kills << " kills, " << stops << " ranks stopped for ever, " << requests
            << " requests to stop\n";
}

}  // namespace
}  // namespace interlock
