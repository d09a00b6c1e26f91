// What is passed on, kept and made of mpirun's stderr, for every way it can be cut into reads.
#include "launch/supervisor/launcher_output.h"

#include <gmock/gmock.h>

namespace interlock {
namespace {

const std::string edge(74, '-');

const std::string launch_word = "0123456789abcdef";

struct Result {
  std::string passed, reason;
  bool failed, by_signal, up;
};

Result take(const std::string& text, size_t part) {
  Result result;
  LauncherOutput output([&](std::string_view passed) { result.passed += passed; }, launch_word);
  for (size_t at = 0; at < text.size(); at += part) output.feed(std::string_view(text).substr(at, part));
  output.finish();
  result.reason = output.reason();
  result.failed = output.failed();
  result.by_signal = output.killed_by_signal();
  result.up = output.ranks_are_up();
  return result;
}

void expect_for_all_cuts(const std::string& text, const std::string& passed, const std::string& reason,
                         bool by_signal = false) {
  for (size_t part = 1; part <= text.size() + 1; ++part) {
    const Result result = take(text, part);
    ASSERT_EQ(result.passed, passed) << "in parts of " << part;
    ASSERT_EQ(result.reason, reason) << "in parts of " << part;
    ASSERT_EQ(result.failed, !reason.empty());
    ASSERT_EQ(result.by_signal, by_signal);
  }
}

TEST(LauncherOutput, PassesOrdinaryTextUnchanged) {
  for (const std::string text :
       {"one\ntwo\n", "", "\n\n", "half", "a - b -- c ---\n", "\rstep 1\rstep 2", "interlock: er",
        "interlock: warning: x\n", "[1] of [2]\n", "mpirun is fine\n", "  indented\n", "m", "["}) {
    expect_for_all_cuts(text, text, "");
  }
}

TEST(LauncherOutput, KeepsTheFirstErrorWithItsIndentedLines) {
  expect_for_all_cuts("a\ninterlock: error: rank 1: x\n  y\n\tz\nb\ninterlock: error: rank 0: w\n  v\nc\n", "a\nb\nc\n",
                      "interlock: error: rank 1: x\n  y\n\tz");
}

TEST(LauncherOutput, FindsAnErrorBehindAStatusLine) {
  expect_for_all_cuts("\rstep 4interlock: error: rank 1: x\n\rstep 5", "\rstep 4\rstep 5",
                      "interlock: error: rank 1: x");
}

TEST(LauncherOutput, KeepsTheWordOfRanksThatAreUpToItself) {
  const auto expect_up = [](const std::string& text, const std::string& passed, bool up) {
    for (size_t part = 1; part <= text.size() + 1; ++part) {
      const Result result = take(text, part);
      ASSERT_EQ(result.passed, passed) << "in parts of " << part;
      ASSERT_EQ(result.up, up) << "in parts of " << part;
    }
  };
  const std::string line = "interlock: ranks are up " + launch_word + "\n";
  expect_up("a\n" + line + "b\n", "a\nb\n", true);
  expect_up("\rhalf a status" + line + "\rmore", "\rhalf a status\rmore", true);
  expect_up("interlock: error: rank 1: x\n" + line, "", true);
  expect_up("nothing\n", "nothing\n", false);
  const std::string other = "interlock: ranks are up fedcba9876543210\n";  // of another launch
  expect_up(other, other, false);
}

TEST(LauncherOutput, MakesASentenceOfASignalBanner) {
  expect_for_all_cuts("a\n" + edge + "\nmpirun noticed that process rank 2 with PID 0 on node n1 exited on signal 11 " +
                          "(Segmentation fault).\n" + edge + "\nb\n",
                      "a\nb\n", "interlock: error: rank 2 on n1 was killed by signal 11 (SIGSEGV)", true);
}

// The text of [node-died] in Open MPI's help-errmgr-base.txt.
TEST(LauncherOutput, MakesASentenceOfALostHost) {
  expect_for_all_cuts(
      "a\n" + edge + "\nORTE has lost communication with a remote daemon.\n\n" +
          "  HNP daemon   : [[7,0],0] on node n1\n  Remote daemon: [[7,0],1] on node n2\n\n" +
          "This is usually due to either a failure of the TCP network\nconnection to the node, or " +
          "possibly an internal failure of\nthe daemon itself. We cannot recover from this failure, and\n" +
          "therefore will terminate the job.\n" + edge + "\nb\n",
      "a\nb\n",
      "interlock: error: mpirun has lost the host n2 and the ranks on it: it is down, or the network "
      "between is",
      true);
}

TEST(LauncherOutput, MakesASentenceOfAnExitCodeBanner) {
  const std::string job = edge + "\nPrimary job  terminated normally, but 1 process returned\na non-zero exit code. " +
                          "Per user-direction, the job has been aborted.\n" + edge + "\n";
  const std::string code =
      edge + "\nmpirun detected that one or more processes exited with non-zero status, thus causing\n" +
      "the job to be terminated. The first process to do so was:\n\n  Process name: [[15386,1],3]\n" +
      "  Exit code:    9\n" + edge + "\n";
  expect_for_all_cuts(job + code, "", "interlock: error: rank 3 ended with exit code 9 and no word why");
}

TEST(LauncherOutput, PrefersARanksOwnWordsToBanners) {
  const std::string abort =
      "MPI_ABORT was invoked on rank 0 in communicator MPI_COMM_WORLD\nwith errorcode 70.\n\nNOTE: x\n";
  expect_for_all_cuts(edge + "\n" + abort + edge + "\n", "", "interlock: error: rank 0 called MPI_Abort with code 70");
  expect_for_all_cuts(edge + "\n" + abort + "interlock: error: rank 0: NaN\n" + edge + "\n", "",
                      "interlock: error: rank 0: NaN");
}

TEST(LauncherOutput, PassesOtherBannersOn) {
  const std::string cut(70, '-');
  expect_for_all_cuts(edge + "\nThere are not enough slots available\n" + edge + "\n",
                      cut + "\nThere are not enough slots available\n" + cut + "\n", "");
}

TEST(LauncherOutput, KeepsRemarksOfMpirunBack) {
  expect_for_all_cuts(
      "[n1:123] PMIX ERROR: UNREACHABLE in file x.c at line 1\n[n1:9] 3 more processes have sent help "
      "message help-mpi-api.txt / mpi-abort\nmpirun: killing job...\n[n1:5] Read -1, expected 4208, errno = 3\nx\n",
      "x\n", "");
}

TEST(LauncherOutput, DashesOfSomebodyElseAreNotSwallowed) {
  std::string text = edge + "\n";
  for (int i = 0; i < 300; ++i) text += "a table of a rank, line " + std::to_string(i) + "\n";
  const Result result = take(text, 100);
  EXPECT_THAT(result.passed, testing::HasSubstr("line 0\n"));
  EXPECT_THAT(result.passed, testing::EndsWith("line 299\n"));
  EXPECT_FALSE(result.failed);
}

}  // namespace
}  // namespace interlock
