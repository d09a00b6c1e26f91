// Who is named, and when: from ranks made by hand.
#include "launch/monitor/verdict.h"

#include <gmock/gmock.h>

#include "tests/launch/monitor/pulses.h"

namespace interlock::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr HangLimits limits{60, 600, 60, 600};

WatchedRank rank_of(PulseRecord pulse, double still, double quiet = 0) { return {true, pulse, still, quiet, ""}; }

// Rank 2 computes; below it nobody gets a gradient and above it nobody an input.
std::vector<WatchedRank> behind_rank_two(double still, double step_seconds = 1) {
  return {rank_of(pulse_of(0, 7, "0B1@3", 1, step_seconds), still),
          rank_of(pulse_of(1, 7, "1B1@3", 2, step_seconds), still),
          rank_of(pulse_of(2, 7, "2F3", waits_for_nobody, step_seconds), still),
          rank_of(pulse_of(3, 7, "3F3", 2, step_seconds), still)};
}

TEST(Verdict, TheRankThatAllWaitForIsNamedWithItsStepAndAction) {
  EXPECT_FALSE(judge(behind_rank_two(59), limits));
  const auto verdict = judge(behind_rank_two(61), limits);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->rank, 2);
  EXPECT_EQ(verdict->step, 7);
  EXPECT_THAT(verdict->reason, AllOf(HasSubstr("rank 2 on far-away stands still in step 7, training, 2F3"),
                                     HasSubstr("for 61 s (limit 60 s)")));
  EXPECT_EQ(verdict->ranks,
            "  rank 0: step 7    > 0B1@3   waits for rank 1, 61 s\n"
            "  rank 1: step 7    > 1B1@3   waits for rank 2, 61 s\n"
            "  rank 2: step 7    --> 2F3   computes, 61 s\n"
            "  rank 3: step 7    > 3F3     waits for rank 2, 61 s\n"
            "  rank 2 did last: [step 7] 2F3\n");
}

TEST(Verdict, OneRankThatGetsOnIsEnough) {
  auto ranks = behind_rank_two(1000);
  ranks[0].still = 3;
  EXPECT_FALSE(judge(ranks, limits));
}

TEST(Verdict, LongStepsHaveALongLimit) {
  EXPECT_FALSE(judge(behind_rank_two(199, 40), limits));
  EXPECT_TRUE(judge(behind_rank_two(201, 40), limits));
}

TEST(Verdict, ARankThatSaysNothingIsTheCauseWhateverItDidLast) {
  auto ranks = behind_rank_two(61);
  ranks[1].quiet = 61;
  ranks[1].process = "12 is stopped";
  const auto verdict = judge(ranks, limits);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->rank, 1);
  EXPECT_THAT(verdict->reason, AllOf(HasSubstr("rank 1 on far-away says nothing since step 7, training, 1B1@3"),
                                     HasSubstr("its process 12 is stopped")));
  EXPECT_THAT(verdict->ranks, HasSubstr("--> 1B1@3   when it spoke last: waits for rank 2, 61 s; quiet for 61 s\n"));
  ranks[1].quiet = 5;  // late, as on a busy machine
  EXPECT_EQ(judge(ranks, limits)->rank, 2);
}

// What a rank did before stands before it, and of a thousand ranks those around the cause are shown.
TEST(Verdict, TheGridShowsWhatCameBeforeAndThoseAroundTheCause) {
  std::vector<WatchedRank> ranks;
  for (int i = 0; i < 1000; ++i) {
    PulseRecord pulse = pulse_of(i, 7, "0F0", i == 500 ? waits_for_nobody : 500);
    pulse.actions = 2;
    std::strcpy(pulse.last[1].text, i == 500 ? "0W0" : "0B0");
    ranks.push_back(rank_of(pulse, 61));
  }
  const std::string grid = judge(ranks, limits)->ranks;
  EXPECT_THAT(grid, HasSubstr("  rank 499: step 7   0F0 > 0B0     waits for rank 500, 61 s\n"));
  EXPECT_THAT(grid, HasSubstr("  rank 500: step 7   0F0 --> 0W0   computes, 61 s\n"));
  EXPECT_THAT(grid, HasSubstr("(976 more ranks)"));
  EXPECT_EQ(std::count(grid.begin(), grid.end(), '\n'), 26) << "24 rows, who is left out, and what the cause did last";
}

TEST(Verdict, ACircleNamesNobody) {
  auto ranks = behind_rank_two(61);
  ranks[2].pulse.waits_for = 3;
  const auto verdict = judge(ranks, limits);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->rank, -1);
  EXPECT_THAT(verdict->reason, AllOf(HasSubstr("s): the ranks wait for each other"), Not(HasSubstr("rank 0"))));
}

TEST(Verdict, StartCheckpointAndEndAreGivenTheLongerLimit) {
  for (const PulsePhase phase : {PulsePhase::start, PulsePhase::checkpoint, PulsePhase::end}) {
    auto ranks = behind_rank_two(599);
    ranks[2].pulse.phase = phase;
    EXPECT_FALSE(judge(ranks, limits)) << text_of(phase);
    for (WatchedRank& rank : ranks) rank.still = 601;
    EXPECT_EQ(judge(ranks, limits)->rank, 2) << text_of(phase);
  }
  auto first_step = behind_rank_two(599);
  first_step[2].pulse.steps_done = 0;
  EXPECT_FALSE(judge(first_step, limits));
  first_step[2].pulse.phase = PulsePhase::start;
  EXPECT_FALSE(judge(first_step, limits)) << "it computes, however long that takes";
  first_step[2].quiet = 599;  // stopped before it could tell that it was past its start, as the others are
  EXPECT_EQ(judge(first_step, limits)->rank, 2);
}

TEST(Verdict, EvaluationsAndCheckpointsHaveLimitsOfTheirOwn) {
  HangLimits own = limits;
  own.evaluation_seconds = 100;
  own.checkpoint_seconds = 200;
  for (const auto& [phase, limit] : {std::pair{PulsePhase::evaluation, 100.0}, {PulsePhase::checkpoint, 200.0}}) {
    auto ranks = behind_rank_two(limit - 1);
    ranks[2].pulse.phase = phase;
    EXPECT_FALSE(judge(ranks, own)) << text_of(phase);
    for (WatchedRank& rank : ranks) rank.still = limit + 1;
    EXPECT_TRUE(judge(ranks, own)) << text_of(phase);
  }
  auto first = behind_rank_two(599);  // before the first step it is a part of the start
  first[2].pulse.phase = PulsePhase::evaluation;
  first[2].pulse.steps_done = 0;
  EXPECT_FALSE(judge(first, own));
}

TEST(Verdict, AMessageThatOneSideAloneKnowsOfIsNamed) {
  auto ranks = behind_rank_two(61);
  std::strcpy(ranks[1].pulse.last[1].text, "1SEND_F5");
  ranks[1].pulse.last[1].step = 7;
  ranks[1].pulse.actions = 2;
  const auto verdict = judge(ranks, limits);
  EXPECT_EQ(verdict->messages, "  rank 1 has sent 1SEND_F5 (step 7), and nobody asks for it\n");
  EXPECT_THAT(verdict->ranks, HasSubstr(verdict->messages));
}

// The others stand in a checkpoint and wait for one that never came to it.
TEST(Verdict, TheLimitIsThatOfTheCause) {
  auto ranks = behind_rank_two(61);
  for (const size_t other : {0, 1, 3}) ranks[other].pulse.phase = PulsePhase::checkpoint;
  ranks[2].quiet = 61;
  EXPECT_EQ(judge(ranks, limits)->rank, 2);
}

TEST(Verdict, ARankThatWasNeverHeardOfHoldsUpTheStart) {
  auto ranks = behind_rank_two(601);
  ranks[3] = {false, {}, 601, 601, ""};
  EXPECT_THAT(judge(ranks, limits)->reason, HasSubstr("nothing was ever heard of rank 3"));
  for (WatchedRank& rank : ranks) rank.still = 599;
  EXPECT_FALSE(judge(ranks, limits));
}

// While they are asked for, the launcher is there: something of the run does not leave.
TEST(Verdict, RanksThatHaveEndedButDoNotLeaveAreAVerdictAfterTheLimitOfTheEnd) {
  auto ranks = behind_rank_two(599);
  for (WatchedRank& rank : ranks) rank.pulse.phase = PulsePhase::ended;
  EXPECT_FALSE(judge(ranks, limits));
  for (WatchedRank& rank : ranks) rank.still = rank.quiet = 601;
  auto verdict = judge(ranks, limits);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->rank, -1);
  EXPECT_THAT(verdict->reason, AllOf(HasSubstr("all ranks have done their work 601 s ago (limit 600 s)"),
                                     HasSubstr("the launcher or a process of a rank does not end")));
  ranks[2].process = "12 is stopped (by SIGSTOP, a terminal or a debugger)";
  verdict = judge(ranks, limits);
  EXPECT_EQ(verdict->rank, 2);
  EXPECT_THAT(verdict->reason, HasSubstr("rank 2 on far-away does not leave: its process 12 is stopped"));
  ranks[1].pulse.phase = PulsePhase::training;
  ranks[1].still = ranks[1].quiet = 3;
  EXPECT_FALSE(judge(ranks, limits)) << "one still works";
  EXPECT_FALSE(judge({}, limits));
}

// Whoever runs tells from a thread of its own: silence is then of the file, and no word of whether it gets on.
TEST(Verdict, RanksThatCannotTellAreNotBlamed) {
  std::vector<WatchedRank> ranks = behind_rank_two(100);
  for (WatchedRank& rank : ranks) rank.quiet = 100, rank.mute = true;
  EXPECT_FALSE(judge(ranks, limits));
  ranks[1].mute = false;  // its process is stopped
  const auto verdict = judge(ranks, limits);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->rank, 1);
  EXPECT_THAT(verdict->reason, HasSubstr("says nothing"));
  ranks[1].quiet = 0;  // it tells; of those that it waits for nothing is known
  EXPECT_FALSE(judge(ranks, limits));
  ranks[1].pulse.waits_for = waits_for_nobody;  // who computes for so long stands still, whatever others do
  EXPECT_EQ(judge(ranks, limits)->rank, 1);
}

// Behind its work a disk may be slow, but not of a process that is stopped.
TEST(Verdict, ARankThatIsStoppedBehindItsWorkHasTheShorterLimit) {
  std::vector<WatchedRank> ranks = behind_rank_two(61);
  for (WatchedRank& rank : ranks) rank.pulse.phase = PulsePhase::ended;
  EXPECT_FALSE(judge(ranks, limits));
  ranks[3].process = "17 is stopped (by SIGSTOP, a terminal or a debugger)";
  const auto verdict = judge(ranks, limits);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->rank, 3);
}

}  // namespace
}  // namespace interlock::test
