// What `compare` refuses, and arms that do not end well.
#include <gmock/gmock.h>
#include <signal.h>

#include <nlohmann/json.hpp>

#include "runtime/storage/folder_lock.h"
#include "tests/support/small_project.h"

namespace interlock {
namespace {

using nlohmann::json;
using testing::HasSubstr;

namespace fs = std::filesystem;

class CompareFailures : public SmallProject {
 protected:
  static Words words(const Words& more) {
    Words all{"compare", "config.toml", "--output", "cmp",   "--seeds",
              "1",       "--tune",      "1",        "--set", "parallel.transport=loopback"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  CommandResult compare(const Words& more, CommandOptions options = {}) const {
    return interlock(words(more), options);
  }
};

TEST_F(CompareFailures, WordsAreCheckedBeforeAnythingIsMade) {
  expect_failure(compare({"--rules", "locl,global"}), 2, {"--rules", "locl", "did you mean \"local\""});
  expect_failure(compare({"--rules", "local", "--heads", "blok"}), 2, {"--heads", "blok", "did you mean \"block\""});
  expect_failure(compare({"--rules", "local", "--stages", "0"}), 2, {"--stages", "0"});
  expect_failure(compare({"--rules", "local", "--stages", "9"}), 64, {"9"});  // of four blocks
  EXPECT_FALSE(fs::exists(path("cmp")));
}

TEST_F(CompareFailures, WithoutATestSplitThereIsNoComparison) {
  expect_failure(compare({"--rules", "local", "--set", "data.held_out=0.0"}), 65,
                 {"data.held_out_part", "data.test_paths"});
  expect_failure(compare({"--rules", "local", "--set", "data.test_paths=['corpus/1.txt']"}), 64,
                 {"data.test_paths", "also lies in data.paths"});
  // Known before a folder is made, not when all is trained.
  expect_failure(compare({"--rules", "local", "--set", "data.test_paths=['nowhere']"}), 65,
                 {"data.test_paths", "nowhere"});
  expect_failure(compare({"--rules", "local", "--set", "learning.change=[{at_step=2, rule='global'}]"}), 64,
                 {"learning.change"});
  expect_failure(compare({"--rules", "local", "--set", "data.paths=['nowhere']"}), 65, {"nowhere"});
}

TEST_F(CompareFailures, ArmsAtATimeFitIntoMemoryTogether) {
  expect_failure(compare({"--rules", "local,global", "--at-once", "2", "--set", "model.width=262144"}), 64,
                 {"--at-once 2: by the forecast the 8 ranks here hold", "not even one of them fits"});
  EXPECT_FALSE(fs::exists(path("cmp")));
}

TEST_F(CompareFailures, FoldersOfOthersAreKept) {
  write("cmp/thesis.txt", "words");
  expect_failure(compare({"--rules", "local"}), 73, {"cmp", "something else than a comparison"});
  EXPECT_EQ(files("cmp").size(), 1U);
  fs::remove_all(path("cmp"));
  expect_done(compare({"--rules", "local"}));
  expect_failure(compare({"--rules", "local", "--set", "run.steps=5"}), 64,
                 {"run.steps was 4, now 5", "another --output"});
  const FolderLock held(path("cmp").string(), "test");
  expect_failure(compare({"--rules", "local"}), 73, {"cmp", "in use by another"});
}

TEST_F(CompareFailures, ArmsThatDivergeStayInTheTable) {
  // One step at such a rate, and products are beyond float32.
  const CommandResult done = compare({"--rules", "local,global", "--set", "optimizer.name=sgd", "--set",
                                      "optimizer.clip=0", "--set", "optimizer.learning_rate=1e30"});
  expect_failure(done, 70, {"no arm of the comparison could be done", "cmp/arms"});
  EXPECT_THAT(done.errors, HasSubstr("diverged"));
  const json kept = json::parse(read("cmp/arms/local_linear_4-stages_seed-1.json"));
  EXPECT_EQ(kept["status"], "diverged");
  // What each arm came to is reported all the same.
  const json report = json::parse(read("cmp/report.json"));
  ASSERT_EQ(report["arms"].size(), 2U);
  for (const json& arm : report["arms"]) {
    EXPECT_EQ(arm["status"], "diverged");
    EXPECT_TRUE(arm["test_loss"].is_null());
  }
  EXPECT_THAT(read("cmp/report.html"), HasSubstr("no arm was done"));
}

// One arm of two is killed; the other stands, and the first is tried again by the same command.
TEST_F(CompareFailures, AKilledArmIsMarkedAndTriedAgain) {
  Words all{program()};
  const Words asked = words({"--rules", "local,global", "--set", "run.steps=300"});
  all.insert(all.end(), asked.begin(), asked.end());
  CommandOptions options;
  options.folder = path().string();
  {
    RunningCommand running(all, options);
    const fs::path arm = path("cmp/arms/local_linear_4-stages_seed-1");
    ASSERT_TRUE(running.wait_until([&] { return fs::exists(arm / "metrics.jsonl"); }));
    // The arm's own process, by the owner of its folder's lock.
    const std::string owner = read("cmp/arms/local_linear_4-stages_seed-1/lock");
    const size_t at = owner.find("process ");
    ASSERT_NE(at, std::string::npos) << owner;
    kill(static_cast<pid_t>(std::stol(owner.substr(at + 8))), SIGKILL);
    expect_done(running.wait(60));
  }
  const auto status_of_local = [&] {
    const json report = json::parse(read("cmp/report.json"));
    for (const json& one : report["arms"])
      if (one["rule"] == "local") return one;
    return json();
  };
  EXPECT_EQ(status_of_local()["status"], "failed");
  EXPECT_THAT(status_of_local()["reason"].get<std::string>(), HasSubstr("signal 9"));
  EXPECT_THAT(read("cmp/report.html"), HasSubstr("failed: ended by signal 9"));
  expect_done(run_command(all, options));
  EXPECT_EQ(status_of_local()["status"], "done");
}

TEST_F(CompareFailures, AFullDiskEndsItWithWhatIsDone) {
  CommandOptions full;
  full.largest_file = 30000;  // metrics and costs fit, weights do not
  expect_failure(compare({"--rules", "local"}, full), 73, {"the same command goes on from here"});
  expect_done(compare({"--rules", "local"}));
}

}  // namespace
}  // namespace interlock
