#include "launch/monitor/verdict_file.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/launch/monitor/pulses.h"
#include "tests/observe/temporary_folder.h"

namespace interlock::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::vector<WatchedRank> thirty_ranks() {
  std::vector<WatchedRank> ranks;
  for (int i = 0; i < 30; ++i) {
    PulseRecord pulse = pulse_of(i, 7, "0F0", i == 3 ? waits_for_nobody : 3);
    pulse.actions = 300;
    for (int64_t action = 0; action < 300; ++action) {
      auto& slot = pulse.last[static_cast<size_t>(action) % PulseRecord::remembered];
      std::snprintf(slot.text, sizeof slot.text, "%dF%d", i, static_cast<int>(action));
      slot.step = action / 100;
    }
    ranks.push_back({true, pulse, 61, 0, ""});
  }
  return ranks;
}

TEST(VerdictFile, HoldsAllRanksAndAllThatTheyRemember) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "pulse");
  const auto ranks = thirty_ranks();
  const auto verdict = judge(ranks, HangLimits{});
  ASSERT_TRUE(verdict);
  const std::string path = write_verdict(folder.path(), *verdict, ranks);
  EXPECT_EQ(path, folder / "verdict.txt");
  std::ifstream file(path);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  EXPECT_THAT(text, AllOf(HasSubstr(verdict->reason), HasSubstr("rank 0:"), HasSubstr("rank 29:"),
                          HasSubstr("rank 3 on far-away"), HasSubstr("\n  step 0: 3F44 3F45 "),
                          HasSubstr("\n  step 2: 3F200 "), HasSubstr(" 3F299\n")));
  EXPECT_THAT(text, testing::Not(HasSubstr("3F43 "))) << "a rank remembers 256";
}

TEST(VerdictFile, AFolderThatCannotBeWrittenIsAWarning) {
  testing::internal::CaptureStderr();
  const auto ranks = thirty_ranks();
  EXPECT_EQ(write_verdict("/proc/nowhere", *judge(ranks, HangLimits{}), ranks), "");
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("verdict.txt"));
}

}  // namespace
}  // namespace interlock::test
