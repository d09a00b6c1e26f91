// What ranks find out about each other before a communicator is made.
#include <gmock/gmock.h>

#include <cstdlib>

#include "parallel/transport/loopback.h"
#include "parallel/transport/nccl/nccl.h"
#include "runtime/core/error.h"
#include "tests/support/nccl_stand_in.h"

namespace interlock {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr const char* variable = "NCCL_MULTI_RANK_GPU_ENABLE";

// The answer, which must be the same on all ranks; an error counts as "error: ".
std::string survey(const std::function<void(NcclStandIn&)>& arrange) {
  NcclStandIn world(3);
  arrange(world);
  std::vector<std::string> answers(3);
  try {
    run_loopback(3, [&](Transport& host) { answers[host.rank()] = nccl_obstacle(host, world.gpu(host.rank())); });
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::config);
    EXPECT_EQ(world.communicators(), 0);
    return message("error: ", error.what());
  }
  EXPECT_EQ(answers[0], answers[1]);
  EXPECT_EQ(answers[0], answers[2]);
  return answers[0];
}

TEST(NcclSurvey, AGpuEachAndOneVersionWillDo) {
  EXPECT_EQ(survey([](NcclStandIn&) {}), "");
}

TEST(NcclSurvey, OtherVersionsAreRefusedWithBoth) {
  EXPECT_THAT(survey([](NcclStandIn& world) { world.facts(2).library = 23003; }),
              AllOf(HasSubstr("error: "), HasSubstr("rank 0 has NCCL 2.28.9, but rank 2 has 2.30.3")));
}

TEST(NcclSurvey, ALibraryOlderThanItsHeaderIsRefused) {
  EXPECT_THAT(survey([](NcclStandIn& world) {
                for (int rank = 0; rank < 3; ++rank) world.facts(rank).library = 22705;
              }),
              AllOf(HasSubstr("error: "), HasSubstr("loads NCCL 2.27.5, but was built for 2.28.9")));
}

TEST(NcclSurvey, VersionsThatHangAreNotUsed) {
  EXPECT_THAT(survey([](NcclStandIn& world) {
                for (int rank = 0; rank < 3; ++rank) world.facts(rank).library = world.facts(rank).header = 22805;
              }),
              AllOf(HasSubstr("NCCL 2.28.5 may hang"), HasSubstr("2.28.9 or later")));
}

TEST(NcclSurvey, TwoRanksOnOneGpuAreFoundByItsUuid) {
  unsetenv(variable);
  EXPECT_THAT(survey([](NcclStandIn& world) { world.facts(2).uuid = world.facts(1).uuid; }),
              AllOf(HasSubstr("ranks 1 and 2 share the GPU GPU-stand-in-1"), HasSubstr("NCCL 2.28.9 refuses"),
                    HasSubstr("2.30.3 and later can")));
}

TEST(NcclSurvey, ANewerNcclServesThemWhereTheVariableSaysSo) {
  const auto newer = [](NcclStandIn& world) {
    for (int rank = 0; rank < 3; ++rank) world.facts(rank).library = 23003;
    world.facts(2).uuid = world.facts(1).uuid;
  };
  unsetenv(variable);
  EXPECT_THAT(survey(newer), HasSubstr("does only with NCCL_MULTI_RANK_GPU_ENABLE=1"));
  setenv(variable, "1", 1);
  EXPECT_EQ(survey(newer), "");
  unsetenv(variable);
}

}  // namespace
}  // namespace interlock
