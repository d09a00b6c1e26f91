// Who logs what, and that it goes to stderr.

#include "runtime/core/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace interlock {
namespace {

std::string logged(int rank) {
  start_log(rank);
  testing::internal::CaptureStderr();
  log_info("one {} brace");
  log_warning("two");
  log_error("three");
  flush_log();
  return testing::internal::GetCapturedStderr();
}

TEST(Log, SingleProcessesLogAllWithoutPrefix) {
  testing::internal::CaptureStdout();
  EXPECT_EQ(logged(-1), "one {} brace\nwarning: two\nerror: three\n");
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
}

TEST(Log, RankZeroLogsAll) {
  EXPECT_EQ(logged(0), "[rank 0] one {} brace\n[rank 0] warning: two\n[rank 0] error: three\n");
}

TEST(Log, OtherRanksLogWarningsAndWorse) { EXPECT_EQ(logged(3), "[rank 3] warning: two\n[rank 3] error: three\n"); }

}  // namespace
}  // namespace interlock
