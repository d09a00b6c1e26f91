#include "launch/monitor/open_messages.h"

#include <gmock/gmock.h>

#include "tests/launch/monitor/pulses.h"

namespace interlock::test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

PulseRecord did(int64_t rank, int64_t step, const std::vector<std::string>& actions) {
  PulseRecord pulse = pulse_of(rank, step, "");
  pulse.actions = 0;
  for (const std::string& action : actions) {
    auto& slot = pulse.last[static_cast<size_t>(pulse.actions++) % PulseRecord::remembered];
    std::snprintf(slot.text, sizeof slot.text, "%s", action.c_str());
    slot.step = step;
  }
  return pulse;
}

std::vector<std::string> texts_of(const std::vector<PulseRecord>& ranks) {
  std::vector<std::string> texts;
  for (const OpenMessage& open : open_messages(ranks)) texts.push_back(text_of(open));
  return texts;
}

TEST(OpenMessages, BothSidesKnowOfAMessageThatIsNotOpen) {
  EXPECT_THAT(texts_of({did(0, 7, {"0F0", "0SEND_F0", "0RECV_B0@1+2", "0RECV_B0@2"}),
                        did(1, 7, {"1RECV_F0", "1F0", "1SEND_B0@1+2", "1SEND_B0@2"})}),
              IsEmpty());
}

TEST(OpenMessages, OneSideAloneIsTold) {
  EXPECT_THAT(
      texts_of({did(0, 7, {"0F0", "0SEND_F0", "0SEND_F1", "0RECV_B0@1"}), did(1, 7, {"1RECV_F0", "1F0", "1RECV_F2"})}),
      ElementsAre("rank 0 has sent 0SEND_F1 (step 7), and nobody asks for it",
                  "rank 0 asks for 0RECV_B0@1 (step 7), and nobody has sent it",
                  "rank 1 asks for 1RECV_F2 (step 7), and nobody has sent it"));
}

TEST(OpenMessages, OtherStreamsStepsAndStagesAreOtherMessages) {
  EXPECT_THAT(texts_of({did(0, 7, {"0RECV_B0@1"}), did(1, 7, {"1SEND_B0@2"})}).size(), 2);
  EXPECT_THAT(texts_of({did(0, 7, {"0SEND_F0"}), did(1, 8, {"1RECV_F0"})}).size(), 2);
  EXPECT_THAT(texts_of({did(0, 7, {"0SEND_F0", "2RECV_F0"}), did(1, 7, {"1F0"})}).size(), 2);
}

// Of two replicas one has received, the other not.
TEST(OpenMessages, ReplicasAreCounted) {
  EXPECT_THAT(texts_of({did(0, 7, {"0SEND_F0"}), did(1, 7, {"1RECV_F0"}), did(2, 7, {"0SEND_F0"}), did(3, 7, {"1U"})}),
              ElementsAre("rank 0 has sent 0SEND_F0 (step 7), and nobody asks for it",
                          "rank 2 has sent 0SEND_F0 (step 7), and nobody asks for it"));
}

// One that is stopped between two tellings has done more than it told.
TEST(OpenMessages, WhatASilentRankMayHaveDoneSinceIsNotTold) {
  const std::vector<PulseRecord> ranks{did(0, 7, {"0SEND_F0", "0RECV_B0@1"}), did(1, 6, {"1RECV_F0"})};
  EXPECT_THAT(open_messages(ranks), testing::SizeIs(3));
  EXPECT_THAT(open_messages(ranks, {1}), testing::SizeIs(1)) << "what it asked for itself";
}

TEST(OpenMessages, WhatMayHaveBeenForgottenIsNotTold) {
  const std::vector<std::string> many(PulseRecord::remembered, "1F0");
  PulseRecord full = did(1, 7, many);
  EXPECT_THAT(texts_of({did(0, 7, {"0SEND_F0"}), full}), testing::SizeIs(1)) << "it remembers all that it did";
  full.actions += 1;
  EXPECT_THAT(texts_of({did(0, 7, {"0SEND_F0"}), full}), IsEmpty()) << "the first may have been its 1RECV_F0";
  EXPECT_THAT(texts_of({did(0, 7, {"0SEND_F0"})}), IsEmpty()) << "nobody has told of stage 1";
}

TEST(OpenMessages, TextsThatAreNoMessageAreNone) {
  EXPECT_THAT(
      texts_of({did(0, 7, {"evaluation", "99999999999999SEND_F0", "SEND_F0", "-1SEND_F0", "", "0REDUCE_NORM"})}),
      IsEmpty());
}

}  // namespace
}  // namespace interlock::test
