// Signals as events, and waiting for them, at the limits of the machine and of an int.
#include "launch/supervisor/signal_source.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <unistd.h>

#include "launch/supervisor/poll_timeout.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

using testing::HasSubstr;
using namespace std::chrono_literals;

TEST(SignalSource, WithoutAFreeDescriptorItSaysSoAndLeavesSignalsAsTheyWere) {
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  rlimit few = before;
  const int next = open("/dev/null", O_RDONLY);
  close(next);
  few.rlim_cur = static_cast<rlim_t>(next);  // all below it are in use
  setrlimit(RLIMIT_NOFILE, &few);
  std::string said;
  try {
    const SignalSource source{SIGUSR2};
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::gave_up);
    said = error.what();
  }
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_THAT(said, HasSubstr("cannot listen for signals: Too many open files"));
  sigset_t blocked;
  sigprocmask(SIG_SETMASK, nullptr, &blocked);
  EXPECT_EQ(sigismember(&blocked, SIGUSR2), 0);
}

TEST(SignalSource, TellsWhatCameAndThenNothing) {
  const SignalSource source{SIGUSR2};
  EXPECT_EQ(source.next(), 0);
  raise(SIGUSR2);
  EXPECT_EQ(source.next(), SIGUSR2);
  EXPECT_EQ(source.next(), 0);
}

// 2^31 ms are 24.9 days: checkpoint.stop_seconds may be more.
TEST(PollTimeout, IsNeitherNegativeNorNothingWhileThereIsTime) {
  EXPECT_EQ(poll_timeout(0s), 0);
  EXPECT_EQ(poll_timeout(-5s), 0);
  EXPECT_EQ(poll_timeout(1ns), 1);
  EXPECT_EQ(poll_timeout(1500us), 2);
  EXPECT_EQ(poll_timeout(60s), 60'000);
  for (const auto left : {2'147'483'648ms, 4'294'967'295ms, 4'294'967'296ms, 1'073'741'824'000ms})
    EXPECT_EQ(poll_timeout(left), 3'600'000) << left.count();
}

}  // namespace
}  // namespace interlock
