// The watch over files that a test writes, at times that it makes up.
#include "launch/monitor/hang_watch.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "tests/launch/monitor/pulses.h"
#include "tests/observe/temporary_folder.h"

namespace interlock::test {
namespace {

using std::chrono::seconds;

class Watch : public testing::Test {
 protected:
  void tell(int rank, uint64_t changes, uint64_t session = 7) {
    PulseRecord pulse = pulse_of(rank, 3, "0F0", rank == 0 ? 1 : waits_for_nobody);
    pulse.changes = changes;
    pulse.session = session;
    put_pulse(folder.path(), pulse, ++beat);
  }
  std::optional<Verdict> look(HangWatch& watch, int times) {
    std::optional<Verdict> verdict;
    for (int i = 0; i < times && !verdict; ++i) verdict = watch.look(clock += seconds(1));
    return verdict;
  }
  TemporaryFolder folder;
  uint64_t beat = 0;
  HangWatch::Clock::time_point clock = HangWatch::Clock::now();
};

TEST_F(Watch, ChangesAreProgressAndBeatsAreNot) {
  HangWatch watch(folder.path(), 2, {10, 20});
  for (uint64_t i = 0; i < 30; ++i) {
    tell(0, i);
    tell(1, i);
    EXPECT_FALSE(look(watch, 1));
  }
  std::optional<Verdict> verdict;
  int waited = 0;
  for (; waited < 30 && !verdict; ++waited) {
    tell(0, 29);
    tell(1, 29);
    verdict = look(watch, 1);
  }
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->rank, 1);
  EXPECT_NEAR(waited, 10, 2);
  EXPECT_EQ(watch.last_step(), 3);
}

TEST_F(Watch, WhatStandsThereFromBeforeIsNotBelieved) {
  tell(0, 1);
  tell(1, 1);
  HangWatch watch(folder.path(), 2, {5, 20});
  EXPECT_FALSE(look(watch, 15)) << "the ranks start, and have the longer limit";
  EXPECT_FALSE(watch.has_begun());
  EXPECT_EQ(watch.last_step(), 0);
  tell(0, 1, 8);
  tell(1, 1, 8);
  EXPECT_FALSE(look(watch, 1));
  EXPECT_TRUE(watch.has_begun());
  EXPECT_TRUE(look(watch, 10));
}

TEST_F(Watch, AStartThatNeverComesIsAHang) {
  HangWatch watch(folder.path(), 2, {5, 20});
  const auto verdict = look(watch, 30);
  ASSERT_TRUE(verdict);
  EXPECT_THAT(verdict->reason, testing::HasSubstr("nothing was ever heard of rank 0"));
}

// A full disk, a folder of somebody else: the run goes on unwatched.
TEST_F(Watch, RanksThatCannotTellAreNotJudged) {
  HangWatch watch(folder.path(), 2, {5, 20});
  std::ofstream(folder / "lock") << "host a, process 1";
  EXPECT_FALSE(look(watch, 1000));
}

// It could be at first: a file system that goes away or is mounted again to be read only.
TEST_F(Watch, RanksThatCanNoLongerTellAreNotJudged) {
  HangWatch watch(folder.path(), 2, {5, 20});
  tell(0, 1);
  tell(1, 1);
  EXPECT_FALSE(look(watch, 1));
  std::filesystem::rename(pulse_folder(folder.path()), folder / "elsewhere");
  EXPECT_FALSE(look(watch, 100));
  std::filesystem::rename(folder / "elsewhere", pulse_folder(folder.path()));
  EXPECT_TRUE(look(watch, 1));
}

// Of this host more is known: a process that runs would tell.
TEST_F(Watch, AProcessThatRunsAndSaysNothingIsNotJudged) {
  HangWatch watch(folder.path(), 1, {5, 20});
  PulseRecord pulse = pulse_of(0, 3, "0F0");
  std::snprintf(pulse.host, sizeof pulse.host, "%s", own_host().c_str());
  pulse.pid = getpid();
  put_pulse(folder.path(), pulse, 1);
  EXPECT_FALSE(look(watch, 100));
  pulse.closed = 1;  // its rank has ended, by an error maybe, and the process hangs in what comes after
  put_pulse(folder.path(), pulse, 2);
  EXPECT_TRUE(look(watch, 30));
  pulse.closed = 0;
  pulse.started = 1;  // another process than the one that has the number now
  put_pulse(folder.path(), pulse, 3);
  const auto verdict = look(watch, 30);
  ASSERT_TRUE(verdict);
  EXPECT_THAT(verdict->reason, testing::HasSubstr("is gone"));
}

// The lock of a run that was killed is no sign of life of this one.
TEST_F(Watch, AnOldLockIsNone) {
  std::ofstream(folder / "lock") << "host a, process 1";
  HangWatch watch(folder.path(), 2, {5, 20});
  EXPECT_TRUE(look(watch, 30));
}

TEST_F(Watch, TimeInWhichTheWatchItselfWasStoppedDoesNotCount) {
  HangWatch watch(folder.path(), 2, {10, 20});
  tell(0, 1);
  tell(1, 1);
  EXPECT_FALSE(look(watch, 1));
  clock += seconds(3600);
  EXPECT_FALSE(look(watch, 1));
}

// Over TCP too: the newer of two tells, and a folder that tells nothing is made up for.
TEST_F(Watch, RanksAreHeardInTwoWays) {
  HangWatch watch(folder.path(), 2, {10, 20});
  tell(0, 1);
  const auto heard = [&](uint64_t changes, uint64_t at) {
    PulseRecord pulse = pulse_of(1, 3, "1F0");
    pulse.changes = changes;
    pulse.beat = at;
    return pulse;
  };
  for (uint64_t i = 0; i < 30; ++i) {
    watch.hear({heard(i, i)});
    EXPECT_FALSE(look(watch, 1)) << "rank 1 gets on, wherever that is heard";
  }
  tell(1, 3);  // an older record: its beat is below those heard
  watch.hear({heard(29, 3)});
  const auto verdict = look(watch, 12);
  ASSERT_TRUE(verdict);
  EXPECT_THAT(verdict->reason, testing::HasSubstr("rank "));
}

TEST_F(Watch, FilesOfOtherRanksAndRubbishAreNothing) {
  HangWatch watch(folder.path(), 2, {5, 20});
  tell(0, 1);
  tell(1, 1);
  tell(77, 1);
  std::ofstream(pulse_folder(folder.path()) + "/rank-00001x") << "rubbish";
  EXPECT_FALSE(look(watch, 2));
  std::optional<Verdict> verdict;
  for (int i = 0; i < 10 && !verdict; ++i) {
    tell(0, 1);
    tell(1, 1);
    verdict = look(watch, 1);
  }
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->rank, 1);
}

}  // namespace
}  // namespace interlock::test
