// Starting again: how often, when not, and what is written down. Over real mpirun, with ranks that only end.
#include "launch/supervisor/restart.h"

#include <gmock/gmock.h>

#include "tests/launch/supervisor/supervised_launch.h"
#include "tests/observe/temporary_folder.h"

namespace interlock::test {
namespace {

using testing::HasSubstr;
using testing::Not;

Environment with_restarts(const std::string& restarts, const std::string& folder = "", bool progress = false) {
  Environment all{{"TEST_RESTARTS", restarts}, {"TEST_RUN", folder}};
  if (progress) all["TEST_PROGRESS"] = "1";
  return all;
}

size_t lines_with(const std::string& path, const std::string& part) {
  std::ifstream file(path);
  size_t found = 0;
  for (std::string line; std::getline(file, line);) found += line.find(part) != std::string::npos;
  return found;
}

TEST(Restart, NeverTwiceAtTheSamePlace) {
  const TemporaryFolder folder;
  Launch run(2, {"signal", "1", "9"}, with_restarts("5", folder.path()));
  EXPECT_EQ(run.end(), 70) << run.errors;
  EXPECT_EQ(occurrences(run.errors, "interlock: restart "), 1u) << run.errors;
  EXPECT_THAT(run.errors, HasSubstr("gave up: twice at step 0 without progress"));
  EXPECT_EQ(lines_with(folder / "events.jsonl", R"("event":"lost","rank":1,)"), 2u);
  EXPECT_EQ(lines_with(folder / "events.jsonl", R"("event":"restart")"), 1u);
  EXPECT_EQ(lines_with(folder / "events.jsonl", R"("event":"gave_up")"), 1u);
  EXPECT_TRUE(all_gone(run.tag));
}

TEST(Restart, AsOftenAsAskedWhileItGetsOn) {
  Launch run(2, {"signal", "1", "9"}, with_restarts("2", "", true));
  EXPECT_EQ(run.end(), 71) << run.errors;
  EXPECT_EQ(occurrences(run.errors, "interlock: restart "), 2u) << run.errors;
  EXPECT_THAT(run.errors, HasSubstr("restart 2 of 2 from the checkpoint of step 2 in 1 s"));
  EXPECT_THAT(run.errors, HasSubstr("what happened to the run"));
  EXPECT_TRUE(all_gone(run.tag));
}

TEST(Restart, WhatWouldComeBackIsNotStartedAgain) {
  for (const int code : {2, 64, 65, 70, 73, 75}) {
    Launch run(2, {"exit", "1", std::to_string(code)}, with_restarts("5"));
    EXPECT_EQ(run.end(), code) << run.errors;
    EXPECT_THAT(run.errors, Not(HasSubstr("restart"))) << code;
  }
}

TEST(Restart, ASignalWhileItRestsEndsAtOnce) {
  for (const auto& [number, code] : {std::pair{SIGTERM, 75}, {SIGINT, 130}}) {
    Launch run(2, {"signal", "1", "9"}, with_restarts("5", "", true));
    ASSERT_TRUE(run.read_until([&] { return run.errors.find("interlock: restart 1") != std::string::npos; }));
    kill(run.pid, number);
    EXPECT_EQ(run.end(), code) << run.errors;
    EXPECT_EQ(occurrences(run.errors, "interlock: restart "), 1u) << run.errors;
    EXPECT_TRUE(all_gone(run.tag));
  }
}

TEST(Restart, ARunThatIsToEndIsNotStartedAgain) {
  Launch run(3, {"stop and", "1", "die"}, with_restarts("5", "", true));
  ASSERT_TRUE(wait_for_ranks(run, 3));
  kill(run.pid, SIGTERM);
  EXPECT_EQ(run.end(), 71) << run.errors;
  EXPECT_THAT(run.errors, Not(HasSubstr("interlock: restart")));
}

}  // namespace
}  // namespace interlock::test
