// Where a run writes: folders that cannot be written, that exist already, disks that are full. Exit code 73, and what
// was there before stays as it was.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "tests/support/small_disk.h"
#include "tests/support/small_project.h"

namespace interlock {
namespace {

using testing::HasSubstr;
using testing::IsSupersetOf;

namespace fs = std::filesystem;

class RunFolder : public SmallProject {
 protected:
  Words names(const std::string& folder) {
    Words all;
    for (const auto& entry : fs::directory_iterator(path(folder))) all.push_back(entry.path().filename().string());
    return all;
  }
  static bool is_events(const std::string& name) { return name.starts_with("events.out.tfevents."); }
};

TEST_F(RunFolder, HoldsWhatARunLeavesBehind) {
  expect_done(train_threads({"run.folder='deep/er/run'"}));
  const Words found = names("deep/er/run");
  EXPECT_THAT(found, IsSupersetOf({"config.toml", "manifest.json", "metrics.jsonl", "trace.json", "costs.json",
                                   "result.json", "weights.safetensors", "checkpoints", "pulse"}));
  EXPECT_EQ(std::count_if(found.begin(), found.end(), is_events), 1);
  EXPECT_EQ(found.size(), 10U);
}

// Of a whole run, of one that stops early, and of the one that goes on from there.
TEST_F(RunFolder, ResultIsTheObjectThatTrainPrints) {
  const auto expect_result_of = [&](const CommandResult& train) {
    expect_done(train);
    EXPECT_EQ(nlohmann::json::parse(read("run/result.json")), last_object(train));
  };
  expect_result_of(train_threads({}, {"--json"}));
  expect_result_of(train_threads({"run.seed=2"}, {"--json", "--overwrite", "--until", "1"}));
  const CommandResult whole = train_threads({"run.seed=2"}, {"--json", "--resume"});
  expect_result_of(whole);
  EXPECT_EQ(last_object(whole)["steps"], 4);
  // A run that is finished has no loss to tell: what it told before stays, and is told again where it is missing.
  expect_done(train_threads({"run.seed=2"}, {"--resume"}));
  EXPECT_EQ(nlohmann::json::parse(read("run/result.json")), last_object(whole));
  fs::remove(path("run/result.json"));
  const CommandResult nothing = train_threads({"run.seed=2"}, {"--json", "--resume"});
  expect_result_of(nothing);
  EXPECT_TRUE(last_object(nothing)["loss"].is_null());
  EXPECT_EQ(last_object(nothing)["digest"], last_object(whole)["digest"]);
}

// Only a run that ends has a result: what an earlier one left must not be taken for it.
TEST_F(RunFolder, AResultOfAnEarlierRunGoesWhenAnotherStarts) {
  write("run/result.json", "{\"steps\": 99}");
  expect_failure(train_threads({"optimizer.learning_rate=1e30"}, {"--overwrite"}), 70, {"loss"});
  EXPECT_FALSE(fs::exists(path("run/result.json")));
  write("run/result.json", "{\"steps\": 99}");
  expect_failure(train_threads({"optimizer.learning_rate=1e30"}, {"--resume"}), 70, {"loss"});
  EXPECT_FALSE(fs::exists(path("run/result.json")));
}

// Somebody tidies up below a run that goes on: what the command that its end prints needs is there all the same.
TEST_F(RunFolder, RemovedDuringTheRunItCanBeGoneOnWith) {
  const Words endless = {"run.steps=1000000", "run.evaluate_every=0", "parallel.transport=loopback"};
  Words words = train_words(endless);
  words.insert(words.begin(), program());
  CommandOptions here;
  here.folder = path().string();
  RunningCommand running(words, here);
  // A step is written once every rank has begun; whoever finds no folder before is refused.
  std::error_code problem;
  const auto has_a_step = [&] { return fs::exists(path("run/metrics.jsonl")) && !read("run/metrics.jsonl").empty(); };
  ASSERT_TRUE(running.wait_until(has_a_step)) << running.wait(0).tail();
  do fs::remove_all(path("run"), problem);
  while (problem);  // what the run has written meanwhile is in the way
  ASSERT_TRUE(running.wait_until([&] { return fs::exists(path("run/config.toml")); })) << running.wait(0).tail();
  running.signal(SIGTERM);
  const CommandResult stopped = running.wait();
  EXPECT_EQ(stopped.code, 75) << stopped.tail();
  EXPECT_THAT(stopped.errors, HasSubstr("config.toml was removed from run"));
  EXPECT_THAT(stopped.output, HasSubstr("interlock train run --resume"));
  const int64_t step = last_object(interlock({"inspect", "run", "--json"}))["step"];
  expect_done(interlock({"train", "run", "--resume", "--until", std::to_string(step + 1)}));
}

TEST_F(RunFolder, CheckpointsRemovedDuringTheRunAreMissed) {
  const Words endless = {"run.steps=1000000", "run.evaluate_every=0", "parallel.transport=loopback",
                         "checkpoint.every=50", "checkpoint.keep=1000"};
  Words words = train_words(endless);
  words.insert(words.begin(), program());
  CommandOptions here;
  here.folder = path().string();
  RunningCommand running(words, here);
  ASSERT_TRUE(running.wait_until([&] { return fs::exists(path("run/checkpoints/step-00000050/manifest.json")); }))
      << running.wait(0).tail();
  std::error_code problem;
  do fs::remove_all(path("run/checkpoints"), problem);
  while (problem);  // what the run has written meanwhile is in the way
  // By the second one after it at the latest: one may have been under way.
  const auto whole = [&] {
    int64_t found = 0;
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(path("run/checkpoints"), none))
      found +=
          fs::exists(entry.path() / "manifest.json", none) && entry.path().filename().string().starts_with("step-");
    return found;
  };
  ASSERT_TRUE(running.wait_until([&] { return whole() >= 2; })) << running.wait(0).tail();
  running.signal(SIGTERM);
  const CommandResult stopped = running.wait();
  EXPECT_EQ(stopped.code, 75) << stopped.tail();
  EXPECT_THAT(stopped.errors, testing::ContainsRegex("step-[0-9]+, the newest checkpoint so far, was removed"));
}

// The one that a run goes on from is its newest, until it has written one of its own.
TEST_F(RunFolder, TheCheckpointItGoesOnFromIsMissedToo) {
  const Words slow = {"run.steps=1000000", "run.evaluate_every=0", "parallel.transport=loopback",
                      "checkpoint.every=1000000"};
  expect_done(train(slow, {"--until", "1"}));
  Words words = train_words(slow, {"--resume"});
  words.insert(words.begin(), program());
  CommandOptions here;
  here.folder = path().string();
  RunningCommand running(words, here);
  const auto has_begun = [&] { return read("run/metrics.jsonl").find("\"step\":2,") != std::string::npos; };
  ASSERT_TRUE(running.wait_until(has_begun)) << running.wait(0).tail();
  fs::remove_all(path("run/checkpoints/step-00000001"));
  running.signal(SIGTERM);
  const CommandResult stopped = running.wait();
  EXPECT_EQ(stopped.code, 75) << stopped.tail();
  EXPECT_THAT(stopped.errors, HasSubstr("step-00000001, the newest checkpoint so far, was removed"));
}

TEST_F(RunFolder, BelowAPlainFileIsRefusedBeforeRanksStart) {
  const CommandResult result = train({"run.folder='corpus/1.txt/run'"});
  expect_failure(result, 73, {"run.folder", "corpus/1.txt", "not a folder"});
  EXPECT_THAT(result.all, testing::Not(HasSubstr("rank 0"))) << "a rank was started for it";
}

TEST_F(RunFolder, APlainFileIsRefused) {
  const auto before = files();
  expect_failure(train({"run.folder='corpus/1.txt'"}, {"--overwrite"}), 73, {"corpus/1.txt", "not a folder"});
  EXPECT_EQ(files(), before);
}

// Where even root cannot make a folder.
TEST_F(RunFolder, ThatNobodyCanMakeIsRefused) {
  expect_failure(train_threads({"run.folder='/proc/interlock-run'"}), 73, {"run.folder", "/proc"});
}

TEST_F(RunFolder, WithoutTheRightToWriteIsRefused) {
  fs::create_directories(path("closed"));
  chmod(path("closed").c_str(), 0555);
  if (access(path("closed").c_str(), W_OK) == 0) GTEST_SKIP() << "this user, root, may write anywhere";
  expect_failure(train({"run.folder='closed/run'"}), 73, {"closed", "not writable"});
  expect_failure(train({"run.folder='closed'"}), 73, {"closed", "not writable"});
}

TEST_F(RunFolder, ThatExistsIsKept) {
  expect_done(train_threads({"run.steps=1"}));
  const auto before = files("run");
  expect_failure(train_threads({"run.steps=2"}), 73, {"run.folder", "exists already", "--overwrite"});
  expect_failure(train({"run.steps=2"}), 73, {"run.folder", "exists already", "--overwrite"});
  EXPECT_EQ(files("run"), before);
}

// What a run leaves that was refused on another host, or killed as it started.
TEST_F(RunFolder, InWhichNoStepWasDoneIsTaken) {
  const auto leave = [&](const std::string& metrics) {
    fs::remove_all(path("run"));
    write("run/manifest.json", "{}");
    write("run/config.toml", "");
    write("run/metrics.jsonl", metrics);
    write("run/pulse/rank-00000", "");
  };
  leave("");
  expect_done(train_threads());
  EXPECT_THAT(read("run/config.toml"), HasSubstr("[model]"));
  leave(R"({"step": 1, "loss": 2.5})"
        "\n");
  expect_failure(train_threads(), 73, {"run", "exists already and is kept", "or replace its files with --overwrite"});
  leave("");
  write("run/verdict.txt", "what happened");
  expect_failure(train_threads(), 73, {"exists already and is kept"});
  leave("");
  fs::remove(path("run/manifest.json"));
  expect_failure(train_threads(), 73, {"exists already and is kept"});
}

TEST_F(RunFolder, ThatIsEmptyIsTaken) {
  fs::create_directories(path("run"));
  expect_done(train_threads({"run.steps=1"}));
}

TEST_F(RunFolder, OverwriteReplacesTheFilesOfARunAndNoOthers) {
  expect_done(train_threads({"run.steps=1"}));
  write("run/events.out.tfevents.1234567890.elsewhere", "events of long ago");
  write("run/weights.safetensors.0123456789abcdef.tmp", "half a file of a run that was killed");
  write("run/trace.json.partial", "half a trace");
  write("run/notes.txt", "mine");
  write("run/weights.safetensors.mine", "mine too");
  expect_done(train_threads({"run.steps=2"}, {"--overwrite"}));
  const Words found = names("run");
  EXPECT_EQ(std::count_if(found.begin(), found.end(), is_events), 1);
  EXPECT_FALSE(fs::exists(path("run/events.out.tfevents.1234567890.elsewhere")));
  expect_no_half_files(path("run"));
  EXPECT_EQ(read("run/notes.txt"), "mine");
  EXPECT_EQ(read("run/weights.safetensors.mine"), "mine too");
  const std::string metrics = read("run/metrics.jsonl");
  EXPECT_EQ(std::count(metrics.begin(), metrics.end(), '\n'), 2);
}

TEST_F(RunFolder, OverwriteHarmsNothingWhenTheRunIsRefused) {
  expect_done(train_threads({"run.steps=1"}));
  const auto before = files("run");
  expect_failure(train({"data.paths=['nowhere']"}, {"--overwrite"}), 65, {"nowhere"});
  expect_failure(train({"model.layers=1"}, {"--overwrite"}), 64, {"1 block"});
  EXPECT_EQ(files("run"), before);
}

TEST_F(RunFolder, AFileSizeLimitIsAWriteErrorAndNoCrash) {
  CommandOptions limited;
  limited.largest_file = 64 << 10;  // the weights have 130 KiB
  const CommandResult result = train_threads({}, {}, limited);
  expect_failure(result, 73, {"weights.safetensors", "File too large"});
  expect_no_half_files(path("run"));
  EXPECT_FALSE(fs::exists(path("run/weights.safetensors")));
}

// The weights have 130 KiB; metrics, events and manifest have some 4 KiB each.
class FullDisk : public RunFolder {
 protected:
  // `kept`: what the last word names beside the file that found no room.
  void expect_full(const Words& overrides, const std::string& file, const std::string& kept = "") {
    const auto before = files("corpus");
    Words all{"run.folder='disk/run'"};
    all.insert(all.end(), overrides.begin(), overrides.end());
    expect_failure(train_threads(all), 73, {file, "No space left on device", kept});
    expect_no_half_files(path("disk"));
    EXPECT_EQ(files("corpus"), before);
  }
};

TEST_F(FullDisk, AtTheFirstWord) {
  const SmallDisk disk(path("disk"), 4 << 10);
  if (!disk.problem().empty()) GTEST_SKIP() << "no right to mount a small disk: " << disk.problem();
  write("disk/filler", std::string(4 << 10, 'x'));
  expect_failure(train_threads({"run.folder='disk/run'"}), 73, {"disk/run", "No space left on device"});
}

TEST_F(FullDisk, AtTheFirstWeights) {
  const SmallDisk disk(path("disk"), 128 << 10);  // for the small files, pulses too
  if (!disk.problem().empty()) GTEST_SKIP() << "no right to mount a small disk: " << disk.problem();
  expect_full({}, "disk/run/weights.safetensors");
  EXPECT_FALSE(fs::exists(path("disk/run/weights.safetensors")));
  EXPECT_THAT(read("disk/run/metrics.jsonl"), HasSubstr("\"step\":1,"));
}

// Room for one checkpoint, of some 450 KiB, and for no weights beside it. That of step 4 comes at once, and takes no
// space before the first is published.
TEST_F(FullDisk, AtTheWeightsKeepsTheCheckpoint) {
  const SmallDisk disk(path("disk"), 540 << 10);
  if (!disk.problem().empty()) GTEST_SKIP() << "no right to mount a small disk: " << disk.problem();
  expect_full({"optimizer.decay=constant", "checkpoint.every=3", "run.trace_steps=0"}, "disk/run/weights.safetensors",
              "Kept: disk/run/checkpoints/step-00000003; `interlock train disk/run --resume` goes on from");
  const CommandResult kept = interlock({"inspect", "disk/run", "--json"});
  expect_done(kept);
  // At a constant rate a run of three steps has the weights that one of four has after three.
  const CommandResult shorter = train_threads({"optimizer.decay=constant", "run.steps=3"}, {"--json"});
  EXPECT_EQ(last_object(kept)["digest"], last_object(shorter)["digest"]);
}

// Room for the weights, and for no checkpoint, which is three times as large: the run used to end well.
TEST_F(FullDisk, AtTheLastCheckpointSaysThatTheWeightsAreKept) {
  const SmallDisk disk(path("disk"), 400 << 10);
  if (!disk.problem().empty()) GTEST_SKIP() << "no right to mount a small disk: " << disk.problem();
  const Words run = {"run.trace_steps=0", "run.evaluate_every=0"};
  Words here = run;
  here.emplace_back("run.folder='disk/run'");
  const CommandResult full = train_threads(here, {"--json"});
  expect_failure(full, 73,
                 {"weights are kept in disk/run/weights.safetensors", "checkpoint of its last step 4",
                  "No space left on device", "there is none before it", "--set run.weights=disk/run"});
  const CommandResult whole = train_threads(run, {"--json"});
  EXPECT_EQ(last_object(full)["digest"], last_object(whole)["digest"]);
  EXPECT_THAT(last_object(full)["not_kept"], HasSubstr("No space left"));
  EXPECT_FALSE(last_object(whole).contains("not_kept"));
  EXPECT_EQ(nlohmann::json::parse(read("disk/run/result.json")), last_object(full));
}

// Room for what ranks write of the trace as they go, of some 500 KiB, and the weights, but not for as much again.
TEST_F(FullDisk, AtTheTraceKeepsTheWeights) {
  const SmallDisk disk(path("disk"), 1000 << 10);
  if (!disk.problem().empty()) GTEST_SKIP() << "no right to mount a small disk: " << disk.problem();
  expect_full({"run.steps=30", "run.trace_steps=30", "run.evaluate_every=30"}, "disk/run/trace.json",
              "Kept: disk/run/weights.safetensors");
  const CommandResult kept = interlock({"inspect", "disk/run", "--json"});
  expect_done(kept);
  // The same weights as on a disk with room.
  const CommandResult elsewhere = train_threads({"run.steps=30", "run.evaluate_every=30"}, {"--json"});
  EXPECT_EQ(last_object(kept)["digest"], last_object(elsewhere)["digest"]);
}

// Ranks that mpirun starts meet in files there, and used to end with "no word why".
TEST_F(FullDisk, TheFolderForTemporaryFiles) {
  const SmallDisk disk(path("disk"), 4 << 20);
  if (!disk.problem().empty()) GTEST_SKIP() << "no right to mount a small disk: " << disk.problem();
  Words words{"env", "TMPDIR=" + path("disk").string(), program()};
  for (const std::string& word : train_words({})) words.push_back(word);
  CommandOptions here;
  here.folder = path().string();
  expect_failure(run_command(words, here), 73, {path("disk").string(), "16 MiB", "TMPDIR"});
}

TEST_F(FullDisk, PicturesAndPlansThatCannotBeWritten) {
  expect_failure(interlock({"plan", "config.toml", "--svg", "/proc/plan.svg"}), 73, {"/proc/plan.svg"});
  expect_failure(interlock({"plan", "config.toml", "--text", "nowhere/plan.txt"}), 73, {"nowhere/plan.txt"});
}

TEST_F(FullDisk, StandardOutputThatCannotBeWritten) {
  CommandOptions full;
  full.output_file = "/dev/full";
  expect_failure(interlock({"plan", "config.toml"}, full), 73, {"standard output"});
}

}  // namespace
}  // namespace interlock
