// A thread that stands somewhere tells where, asked by a signal that another thread may get.
#include "runtime/observe/stack_dump.h"

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "runtime/observe/pulse.h"
#include "tests/observe/temporary_folder.h"

namespace interlock {
namespace {

TEST(StackDump, IsWrittenOnRequestAndReadAsLines) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(pulse_folder(folder.path()));
  dump_stack_on_request(folder.path(), 3);
  EXPECT_EQ(read_stack(folder.path(), 3), "");
  std::thread([] { raise(SIGUSR2); }).join();  // to the thread; it hands the request on
  std::string stack;
  for (int i = 0; i < 500 && stack.empty(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    stack = read_stack(folder.path(), 3);
  }
  EXPECT_NE(stack.find("observe_test"), std::string::npos) << stack;
  EXPECT_EQ(stack.find('\t'), std::string::npos);
  EXPECT_LE(std::count(stack.begin(), stack.end(), '\n'), 24);
  EXPECT_EQ(read_stack(folder.path(), 2), "");
  EXPECT_TRUE(read_pulses(folder.path()).empty()) << "it is no pulse";
  forget_stacks(folder.path());
  EXPECT_EQ(read_stack(folder.path(), 3), "");
  signal(SIGUSR2, SIG_DFL);
}

}  // namespace
}  // namespace interlock
