// A stop on request: SIGTERM and SIGUSR1 at the supervisor, at mpirun and at a lone process. What the ranks were doing
// is finished, the exit code says that the run can be started again, and nothing is left running.
#include "launch/supervisor/stop_request.h"

#include <gmock/gmock.h>

#include "tests/launch/supervisor/supervised_launch.h"

namespace interlock::test {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

const Environment one_second{{"INTERLOCK_STOP_SECONDS", "1"}};

bool printed(Launch& run, const std::string& line, size_t times) {
  return run.read_until([&] { return occurrences(run.output, line) == times; });
}

// What a run prints that was asked to stop and did.
void expect_stopped(Launch& run, const std::string& signal, size_t ranks) {
  EXPECT_EQ(run.end(), 75) << run.errors;
  EXPECT_EQ(occurrences(run.output, "whole\n"), ranks) << run.output;
  EXPECT_THAT(run.errors, StartsWith("interlock: stopping: asked by " + signal +
                                     "; the ranks finish a step, write a checkpoint and end (at most 60 s)\n"));
  EXPECT_THAT(run.errors,
              EndsWith("interlock: stopped on request (" + signal + "); --resume goes on from the last checkpoint\n"));
  EXPECT_EQ(occurrences(run.errors, "\n"), 2u) << "mpirun's banner about exit codes is kept back:\n" << run.errors;
  EXPECT_TRUE(processes_with(run.tag).empty());
}

// Two seconds: mpirun would kill the ranks one second after SIGTERM.
TEST(StopRequest, TheRanksFinishAndThenEndWith75) {
  Launch run(3, {"train", "0", "2000"});
  ASSERT_TRUE(printed(run, "ready\n", 3)) << run.errors;
  kill(run.pid, SIGTERM);
  expect_stopped(run, "SIGTERM", 3);
}

TEST(StopRequest, Sigusr1DoesTheSame) {
  Launch run(1, {"train", "0", "0"});
  ASSERT_TRUE(printed(run, "ready\n", 1)) << run.errors;
  kill(run.pid, SIGUSR1);
  expect_stopped(run, "SIGUSR1", 1);
}

// Before a rank watches for it, SIGUSR1 would be its end.
TEST(StopRequest, ARequestThatComesTooEarlyWaitsForTheRanks) {
  Launch run(2, {"train", "500", "0"});
  ASSERT_TRUE(wait_for_ranks(run, 2));
  EXPECT_EQ(run.output, "");
  kill(run.pid, SIGTERM);
  expect_stopped(run, "SIGTERM", 2);
}

// An mpirun that starts one of two ranks: the other is on another host, out of sight. Real mpirun forwards SIGUSR1 to
// all.
TEST(StopRequest, RanksOnOtherHostsAreToldAfterAWhile) {
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / run_tag();
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "mpirun")
      << "#!/bin/bash\n[[ $1 != --version ]] || exit 0\nwhile [[ $1 != *launch_supervised ]]; do shift; done\n"
         // In a session of its own the rank hears of it from here alone: a shell to which the signal and the end of the
         // rank come at once now and then ends with 255.
         "setsid \"$@\" & rank=$!\ntrap 'kill -USR1 $rank 2>/dev/null' USR1\n"
         // Interrupted by the signal, wait says 138, whether the rank has ended meanwhile or not.
         "code=138\nwhile ((code == 138)); do wait $rank; code=$?; done\nexit $code\n";
  std::filesystem::permissions(folder / "mpirun", std::filesystem::perms::owner_all);
  Launch run(2, {"train", "0", "0"},
             {{"PATH", folder.string() + ":" + std::getenv("PATH")}, {"INTERLOCK_STOP_SECONDS", "4"}});
  ASSERT_TRUE(printed(run, "ready\n", 1)) << run.errors;
  kill(run.pid, SIGTERM);
  EXPECT_EQ(run.end(), 75) << run.errors;
  EXPECT_EQ(occurrences(run.output, "whole\n"), 1u) << run.output;
  EXPECT_THAT(run.errors, HasSubstr("stopped on request"));
  std::filesystem::remove_all(folder);
}

TEST(StopRequest, AskedAgainItStaysAtThatAndIsToldOnce) {
  Launch run(2, {"train", "0", "1000"});
  ASSERT_TRUE(printed(run, "ready\n", 2)) << run.errors;
  kill(run.pid, SIGTERM);
  ASSERT_TRUE(printed(run, "checkpoint\n", 2)) << run.errors;
  for (const int number : {SIGTERM, SIGTERM, SIGUSR1, SIGTERM}) {
    kill(run.pid, number);
    std::this_thread::sleep_for(100ms);  // signals of one number that wait together become one
  }
  EXPECT_EQ(run.end(), 75) << run.errors;
  EXPECT_EQ(occurrences(run.output, "whole\n"), 2u);
  EXPECT_EQ(occurrences(run.errors, "interlock: SIGTERM again: the ranks are stopping already"), 1u) << run.errors;
  EXPECT_EQ(occurrences(run.errors, "\n"), 3u) << run.errors;
}

TEST(StopRequest, WhenTheDeadlinePassesAllIsEnded) {
  Launch run(3, {"deaf"}, one_second);
  ASSERT_TRUE(wait_for_ranks(run, 3));
  kill(run.pid, SIGTERM);
  EXPECT_EQ(run.end(), 70) << run.errors;
  EXPECT_THAT(run.errors, HasSubstr("(at most 1 s)\n"));
  EXPECT_THAT(run.errors, EndsWith("interlock: error: the ranks were not done 1 s after SIGTERM asked them to stop, so "
                                   "they were ended; the last whole checkpoint is what --resume goes on from\n"));
  EXPECT_TRUE(processes_with(run.tag).empty());
}

TEST(StopRequest, RanksThatNeverWatchEndAtTheDeadlineToo) {
  Launch run(2, {"stubborn", "9"}, one_second);
  ASSERT_TRUE(wait_for_ranks(run, 2));
  kill(run.pid, SIGUSR1);
  EXPECT_EQ(run.end(), 70) << run.errors;
  EXPECT_TRUE(processes_with(run.tag).empty());
}

TEST(StopRequest, CtrlCEndsAtOnceAlsoWhileTheRanksAreStopping) {
  Launch run(2, {"train", "0", "60000"});
  ASSERT_TRUE(printed(run, "ready\n", 2)) << run.errors;
  kill(run.pid, SIGTERM);
  ASSERT_TRUE(printed(run, "checkpoint\n", 2)) << run.errors;
  kill(run.pid, SIGINT);
  EXPECT_EQ(run.end(), 130) << run.errors;
  EXPECT_THAT(run.output, Not(HasSubstr("whole")));
  EXPECT_THAT(run.errors, EndsWith("interlock: stopped by SIGINT; no rank is left running\n"));
  EXPECT_TRUE(processes_with(run.tag).empty());
}

TEST(StopRequest, ARankThatDiesInTheMeantimeIsWhatIsTold) {
  Launch run(3, {"stop and", "1", "die"});
  ASSERT_TRUE(wait_for_ranks(run, 3));
  kill(run.pid, SIGTERM);
  EXPECT_EQ(run.end(), 71) << run.errors;
  EXPECT_THAT(run.errors, HasSubstr("interlock: error: rank 1 on "));
  EXPECT_THAT(run.errors, HasSubstr("was killed by signal 9 (SIGKILL)"));
  EXPECT_TRUE(processes_with(run.tag).empty());
}

TEST(StopRequest, ARankThatCannotWriteItsCheckpointSaysSo) {
  Launch run(3, {"stop and", "2", "fail"});
  ASSERT_TRUE(wait_for_ranks(run, 3));
  kill(run.pid, SIGTERM);
  EXPECT_EQ(run.end(), 73) << run.errors;
  EXPECT_THAT(run.errors, EndsWith("interlock: error: rank 2: the disk is full\n"));
  EXPECT_TRUE(processes_with(run.tag).empty());
}

TEST(StopRequest, ARunThatEndsByItselfInTheMeantimeIsDone) {
  Launch run(1, {"stop and", "0", "end well"});
  ASSERT_TRUE(wait_for_ranks(run, 1));
  kill(run.pid, SIGTERM);
  EXPECT_EQ(run.end(), 0) << run.errors;
  EXPECT_THAT(run.errors, StartsWith("interlock: stopping: asked by SIGTERM"));
  EXPECT_EQ(occurrences(run.errors, "\n"), 1u) << run.errors;
}

// What a batch system does at its time limit: SIGTERM for every process of the job.
TEST(StopRequest, WhenTheBatchSystemEndsMpirunTooTheLastCheckpointIsNamed) {
  for (const std::string checkpoint : {"run/checkpoints/step-7", ""}) {
    Launch run(2, {"train", "0", "60000"}, {{"TEST_CHECKPOINT", checkpoint}});
    ASSERT_TRUE(printed(run, "ready\n", 2)) << run.errors;
    const pid_t mpirun = run.mpirun();
    kill(run.pid, SIGTERM);
    kill(mpirun, SIGTERM);
    EXPECT_EQ(run.end(), 71) << run.errors;
    EXPECT_THAT(run.errors, HasSubstr("interlock: error: mpirun and its ranks got the SIGTERM too"));
    EXPECT_THAT(run.errors, HasSubstr(checkpoint.empty() ? "there is none to go on from"
                                                         : "--resume goes on from run/checkpoints/step-7"));
    EXPECT_THAT(run.errors, HasSubstr("--signal=B:USR1@120"));
    EXPECT_THAT(run.errors, Not(HasSubstr("doctor")));
    EXPECT_TRUE(all_gone(run.tag));
  }
}

// As a person or a batch system would with a bare mpirun.
TEST(StopRequest, MpirunItselfForwardsSigusr1) {
  Launch run(2, {"train", "0", "100"});
  ASSERT_TRUE(printed(run, "ready\n", 2)) << run.errors;
  kill(run.mpirun(), SIGUSR1);
  EXPECT_EQ(run.end(), 75) << run.errors;
  EXPECT_EQ(occurrences(run.output, "whole\n"), 2u);
  EXPECT_EQ(run.errors, "interlock: stopped on request; --resume goes on from the last checkpoint\n");
}

TEST(StopRequest, ALoneProcessTakesSigtermAndSigusr1) {
  for (const int number : {SIGTERM, SIGUSR1}) {
    Launch process(0, {"train", "0", "100"});
    ASSERT_TRUE(printed(process, "ready\n", 1)) << process.errors;
    kill(process.pid, number);
    EXPECT_EQ(process.end(), 75);
    EXPECT_EQ(process.output, "ready\ncheckpoint\nwhole\n");
  }
}

TEST(StopRequest, ALauncherThatHasStartedNothingJustEnds) {
  for (const int number : {SIGTERM, SIGUSR1}) {
    Launch process(0, {"prepare"});
    ASSERT_TRUE(printed(process, "ready\n", 1)) << process.errors;
    kill(process.pid, number);
    EXPECT_EQ(process.end(), 75);
    EXPECT_EQ(process.errors, "interlock: stopped on request, before anything ran\n");
  }
}

// What was computed since the last checkpoint is not lost by a reflex; who means it presses twice.
TEST(StopRequest, ALoneProcessStopsOnCtrlCAndEndsAtOnceOnTheSecond) {
  Launch process(0, {"train", "0", "100"});
  ASSERT_TRUE(printed(process, "ready\n", 1)) << process.errors;
  kill(process.pid, SIGINT);
  EXPECT_EQ(process.end(), 75);  // `train` itself makes 130 of it
  EXPECT_EQ(process.output, "ready\ncheckpoint\nwhole\n");
  EXPECT_THAT(process.errors, HasSubstr("Ctrl-C again ends it at once\n"));

  Launch twice(0, {"train", "0", "60000"});
  ASSERT_TRUE(printed(twice, "ready\n", 1)) << twice.errors;
  kill(twice.pid, SIGINT);
  ASSERT_TRUE(printed(twice, "checkpoint\n", 1)) << twice.errors;
  kill(twice.pid, SIGINT);
  EXPECT_EQ(twice.end(), -SIGINT);
}

TEST(StopRequest, TheFirstCtrlCAsksTheRanksAndTheSecondEndsThem) {
  Launch run(2, {"train", "0", "100"});
  ASSERT_TRUE(printed(run, "ready\n", 2)) << run.errors;
  kill(run.pid, SIGINT);
  EXPECT_EQ(run.end(), 130) << run.errors;
  EXPECT_EQ(occurrences(run.output, "whole\n"), 2u);
  EXPECT_THAT(run.errors, HasSubstr("asked by SIGINT"));
  EXPECT_THAT(run.errors,
              EndsWith("interlock: stopped on request (SIGINT); --resume goes on from the last checkpoint\n"));

  Launch twice(2, {"train", "0", "60000"});
  ASSERT_TRUE(printed(twice, "ready\n", 2)) << twice.errors;
  kill(twice.pid, SIGINT);
  ASSERT_TRUE(printed(twice, "checkpoint\n", 2)) << twice.errors;
  kill(twice.pid, SIGINT);
  EXPECT_EQ(twice.end(), 130) << twice.errors;
  EXPECT_THAT(twice.output, Not(HasSubstr("whole")));
  EXPECT_TRUE(processes_with(twice.tag).empty());
}

TEST(StopRequest, ARankTakesNoSigterm) {
  Launch rank(0, {"train", "0", "0"}, {{"SLURM_STEP_ID", "0"}, {"SLURM_PROCID", "0"}, {"SLURM_STEP_NUM_TASKS", "1"}});
  ASSERT_TRUE(printed(rank, "ready\n", 1)) << rank.errors;
  kill(rank.pid, SIGTERM);
  EXPECT_EQ(rank.end(), -SIGTERM);
}

TEST(StopRequest, ATimeThatIsNoNumberIsRefused) {
  for (const char* text : {"0", "-1", "soon", "60s", "99999999999"}) {
    Launch run(1, {"environment"}, {{"INTERLOCK_STOP_SECONDS", text}});
    EXPECT_EQ(run.end(), 64);
    EXPECT_THAT(run.errors, StartsWith(std::string("interlock: error: INTERLOCK_STOP_SECONDS=") + text));
  }
}

}  // namespace
}  // namespace interlock::test
