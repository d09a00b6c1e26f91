// `train --resume`: what it refuses, and that a refusal leaves everything as it is; what may have moved meanwhile.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/launch/commands/token_project.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class Resume : public TokenProject {
 protected:
  void SetUp() override {
    TokenProject::SetUp();
    once("half a run", [&] { expect_done(train({"run.steps=4"}, {"--until", "2"})); });
  }
  CommandResult resume(const Words& overrides = {}) const {
    Words all{"run.steps=4"};
    all.insert(all.end(), overrides.begin(), overrides.end());
    return train(all, {"--resume", "--json"});
  }
  void expect_refused(const Words& overrides, const Words& words) const {
    const auto before = files("run");
    expect_failure(resume(overrides), 64, words);
    EXPECT_EQ(files("run"), before);
  }
  void encode(const std::string& tokenizer, const std::string& input, const std::string& output) const {
    expect_done(interlock(
        {"tokenize", "encode", "--tokenizer", tokenizer, "--input", input, "--output", output, "--overwrite"}));
  }
};

TEST_F(Resume, ARefusedConfigLeavesTheFolder) { expect_refused({"model.width=32"}, {"model.width", "16", "32"}); }

// It used to begin at step 1 with a warning, and to remove in time what could have been rescued.
TEST_F(Resume, CheckpointsOfWhichNoneIsWholeAreRefusedByName) {
  expect_done(resume());
  const std::string of_two = "run/checkpoints/step-00000002/", of_four = "run/checkpoints/step-00000004/";
  std::string weights = read(of_two + "weights-00001.safetensors");
  weights.back() = static_cast<char>(weights.back() ^ 1);
  write(of_two + "weights-00001.safetensors", weights);
  fs::remove(path(of_four + "manifest.json"));
  fs::create_directory_symlink("elsewhere", path("run/checkpoints/step-00000006"));
  const auto before = files("run");
  const CommandResult refused = resume({"run.steps=6"});
  expect_failure(refused, 65,
                 {"none to go on from", of_two + "weights-00001.safetensors: its content",
                  of_four + "manifest.json: it is missing", "step-00000006: has the name", "--overwrite"});
  EXPECT_EQ(files("run"), before);
  // One that is whole is enough.
  weights.back() = static_cast<char>(weights.back() ^ 1);
  write(of_two + "weights-00001.safetensors", weights);
  expect_done(resume({"run.steps=6"}));
  EXPECT_TRUE(fs::exists(path("run/checkpoints/step-00000006/manifest.json")));
}

// As a run with checkpoint.every = 0 leaves them, or one whose checkpoints were removed: it used to train anew over
// them.
TEST_F(Resume, WeightsWithoutACheckpointAreNotReplaced) {
  expect_done(resume());
  fs::remove_all(path("run/checkpoints"));
  const std::string weights = read("run/weights.safetensors");
  expect_failure(resume({"run.seed=2"}), 65,
                 {"run/weights.safetensors", "no checkpoint", "run.weights=run", "--overwrite"});
  EXPECT_EQ(read("run/weights.safetensors"), weights);
  fs::remove(path("run/weights.safetensors"));
  expect_done(resume());
}

// Who has come beyond two checkpoints had one: that there is none now is no reason to begin again.
TEST_F(Resume, CheckpointsThatMustHaveBeenThereAreMissed) {
  expect_done(train({"run.steps=6", "checkpoint.every=2"}, {"--overwrite"}));
  fs::remove_all(path("run/checkpoints"));
  fs::remove(path("run/weights.safetensors"));
  const auto before = files("run");
  expect_failure(train({"run.steps=6", "checkpoint.every=2"}, {"--resume"}), 65,
                 {"run/metrics.jsonl tells of step 6", "checkpoint.every was 2", "--overwrite"});
  EXPECT_EQ(files("run"), before);
  // One that was killed before its first begins again.
  expect_done(train({"run.steps=6", "checkpoint.every=4"}, {"--overwrite"}));
  fs::remove_all(path("run/checkpoints"));
  fs::remove(path("run/weights.safetensors"));
  expect_done(train({"run.steps=6", "checkpoint.every=4"}, {"--resume"}));
}

// Its step comes again: what is damaged is put aside and told of, with what somebody laid into it.
TEST_F(Resume, ADamagedCheckpointIsPutAsideWhenItsStepComesAgain) {
  expect_done(resume());
  const std::string newest = "run/checkpoints/step-00000004/";
  write(newest + "weights-00000.safetensors", read(newest + "weights-00000.safetensors") + "x");
  write(newest + "note", "mine");
  const CommandResult result = resume();
  expect_done(result);
  EXPECT_THAT(result.errors, HasSubstr("damaged-step-00000004, which was step-00000004"));
  EXPECT_EQ(read("run/checkpoints/damaged-step-00000004/note"), "mine");
  EXPECT_TRUE(fs::exists(path(newest + "manifest.json")));
}

TEST_F(Resume, CheckpointsThatCannotBeLookedAtAreNotNone) {
  fs::rename(path("run/checkpoints"), path("kept"));
  write("run/checkpoints", "a file in the place of a folder");
  const auto before = files("run");
  expect_failure(resume(), 65, {"run/checkpoints", "cannot be looked at"});
  EXPECT_EQ(files("run"), before);
  fs::remove(path("run/checkpoints"));
  fs::remove(path("run/weights.safetensors"));
  expect_done(resume());  // nothing at all: from the beginning
}

TEST_F(Resume, ADamagedCheckpointStaysAndIsToldOf) {
  write("run/checkpoints/step-00000002/notes", "a file too many");
  write("run/checkpoints/step-00000001/manifest.json", "{}");
  const CommandResult result = train({"run.steps=4", "checkpoint.every=1", "checkpoint.keep=1"}, {"--overwrite"});
  expect_done(result);
  EXPECT_THAT(result.all, testing::Not(HasSubstr("a damaged checkpoint stays"))) << "--overwrite has removed them";
  write("run/checkpoints/step-00000004/notes", "a file too many");
  write("run/checkpoints/step-00000001/manifest.json", "{}");
  expect_failure(train({"run.steps=5", "checkpoint.every=1", "checkpoint.keep=1"}, {"--resume"}), 65, {"notes"});
  fs::remove(path("run/checkpoints/step-00000004/notes"));
  const CommandResult on = train({"run.steps=6", "checkpoint.every=1", "checkpoint.keep=1"}, {"--resume"});
  expect_done(on);
  EXPECT_THAT(on.all, HasSubstr("a damaged checkpoint stays"));
  EXPECT_TRUE(fs::exists(path("run/checkpoints/step-00000001/manifest.json")));
  EXPECT_FALSE(fs::exists(path("run/checkpoints/step-00000005")));
}

// The folder holds its config: nobody has to find the file, and the --set of then, again.
TEST_F(Resume, AFolderGoesOnByItself) {
  const CommandResult fresh = train({"run.steps=4"});
  expect_failure(fresh, 73, {"exists already", "interlock train run --resume"});
  expect_failure(interlock({"train", "run"}), 64, {"is the folder of a run", "interlock train run --resume"});
  write("elsewhere/notes.txt", "no run");
  expect_failure(interlock({"train", "elsewhere", "--resume"}), 64, {"elsewhere", "holds no config.toml"});
  const CommandResult whole = interlock({"train", "run", "--resume", "--json"});
  expect_done(whole);
  EXPECT_THAT(whole.errors, testing::Not(HasSubstr("changed since")));
  EXPECT_EQ(last_object(whole)["steps"], 4);
  expect_done(train({"run.steps=4", "run.folder=straight"}));
  const CommandResult same = interlock({"inspect", "run", "--against", "straight", "--json"});
  EXPECT_EQ(last_object(same)["identical"], true);
  EXPECT_THAT(interlock({"inspect", "run", "--against", "straight"}).output, HasSubstr("identical"));
}

TEST_F(Resume, AFolderThatWasMovedGoesOnWhereItIs) {
  fs::rename(path("run"), path("moved away"));
  const CommandResult whole = interlock({"train", "moved away", "--resume", "--json"});
  expect_done(whole);
  EXPECT_EQ(last_object(whole)["run"], "moved away");
  EXPECT_FALSE(fs::exists(path("run")));
}

TEST_F(Resume, AStopTellsTheWholeCommand) {
  const CommandResult stopped = train({"run.steps=4", "run.folder='two words'"}, {"--until", "1"});
  expect_done(stopped);
  EXPECT_THAT(stopped.output, HasSubstr("go on with: interlock train 'two words' --resume\n"));
}

// By warm-up 10 and 4 steps the rate of step 3 is 3/10 of the peak; a key alone does not show that.
TEST_F(Resume, WhatChangesInTheScheduleIsToldInNumbers) {
  const CommandResult result = train({"run.steps=6", "optimizer.learning_rate=2e-3", "optimizer.warmup_steps=2",
                                      "optimizer.decay=constant", "parallel.microbatches=1", "learning.rule=local"},
                                     {"--resume"});
  expect_done(result);
  EXPECT_THAT(result.errors, HasSubstr("changed since the checkpoint: run.steps (4 -> 6)"));
  EXPECT_THAT(result.errors, HasSubstr("from step 3 on: learning rate of step 3 0.0003 -> 0.002, of the last step "));
  EXPECT_THAT(result.errors, HasSubstr("samples per step 4 -> 2; rule global -> local"));
}

TEST_F(Resume, ChangesAreToldAtTheirStepAndNeverBehindTheLast) {
  const Words changing{"run.steps=5", "run.folder=changing", "learning.change=[{at_step=3,rule='local'}]",
                       "parallel.batch_change=[{at_step=1,microbatches=1},{at_step=4,microbatches=2}]"};
  const CommandResult told = train(changing);
  expect_done(told);
  EXPECT_THAT(told.errors, HasSubstr("step 3: rule local (before: global)\n"));
  EXPECT_THAT(told.errors, HasSubstr("step 4: 2 microbatches per replica (before: 1)\n"));
  // Gone on without them: the tables are told of as a whole.
  Words plain{"run.steps=5", "run.folder=changing"};
  const CommandResult without = train(plain, {"--resume"});
  expect_done(without);
  EXPECT_THAT(without.errors, HasSubstr("learning.change[0] (removed)"));
  EXPECT_THAT(without.errors, testing::Not(HasSubstr("at_step")));
  for (const char* change :
       {"learning.change=[{at_step=6,rule='local'}]", "parallel.batch_change=[{at_step=6,microbatches=1}]"}) {
    expect_failure(train({"run.steps=5", "run.folder=never", change}), 64, {"at_step", "6", "run.steps = 5"});
    expect_failure(interlock({"plan", "config.toml", "--set", "run.steps=5", "--set", change}), 64, {"at_step"});
  }
  const CommandResult plan =
      interlock({"plan", "config.toml", "--set", changing[0], "--set", changing[2], "--set", changing[3]});
  expect_done(plan);
  for (const char* phase :
       {"From step 1 on: 1 microbatch per step", "From step 3 on: local", "From step 4 on: 2 microbatches per step"})
    EXPECT_THAT(plan.output, HasSubstr(phase));
}

TEST_F(Resume, AnotherTokenizerOfTheSameSizeIsRefused) {
  write("other/text",
        "entirely other words stand in this text, so that other pairs are merged\n" + read("corpus/1.txt"));
  expect_done(interlock({"tokenize", "train", "--input", "other", "--vocabulary", std::to_string(vocabulary),
                         "--output", "tokenizer", "--overwrite"}));
  encode("tokenizer", "corpus", "all");
  expect_refused({}, {"tokenizer.path", "another tokenizer"});
}

TEST_F(Resume, OtherDataUnderTheSameNameIsRefused) {
  encode("tokenizer", "corpus/1.txt", "all");
  expect_refused({}, {"data.paths", "samples"});
}

// As many documents of as many bytes, one word of each exchanged.
TEST_F(Resume, OtherTextOfTheSameSizeIsRefused) {
  for (int number = 1; number <= 6; ++number) {
    const std::string name = "corpus/" + std::to_string(number) + ".txt";
    std::string text = read(name);
    for (size_t at = 0; (at = text.find("gamma", at)) != std::string::npos; ++at) text.replace(at, 5, "delta");
    write(name, text);
  }
  encode("tokenizer", "corpus", "all");
  expect_refused({}, {"data.paths"});
}

// What was held out would be trained on.
TEST_F(Resume, ASplitOfItsOwnIsRefusedLater) {
  encode("tokenizer", "corpus/1.txt", "held_out");
  expect_refused({"data.validation_paths=['held_out']"}, {"data.validation_paths", "held out"});
}

TEST_F(Resume, DataAndTokenizerMayMove) {
  for (const char* ending : {".bin", ".idx"})
    fs::rename(path(std::string("all") + ending), path(std::string("moved") + ending));
  fs::rename(path("tokenizer"), path("elsewhere"));
  const CommandResult result = resume({"data.paths=['moved']", "tokenizer.path=elsewhere"});
  expect_done(result);
  EXPECT_EQ(last_object(result)["steps"], 4);
  EXPECT_THAT(result.errors, HasSubstr("changed since the checkpoint"));
}

TEST_F(Resume, FilesThatAreNotThereAreToldWithTheirKey) {
  expect_failure(train({"data.paths=['nowhere']", "run.folder='other'"}), 65,
                 {"data.paths", "nowhere.idx", "tokenize encode"});
  expect_failure(train({"data.validation_paths=['nowhere']", "run.folder='other'"}), 65,
                 {"data.validation_paths", "nowhere.idx", "data.validation_paths = []"});
}

TEST_F(Resume, RowsThatStandForNoTokenAreToldOf) {
  const CommandResult result = train({"model.vocabulary=300", "run.folder='wide'"});
  expect_done(result);
  EXPECT_THAT(result.all, HasSubstr("20 rows of the model stand for none"));
}

// It used to be refused with the advice to import it: now it is taken as it lies.
TEST_F(Resume, AFolderOfHuggingFaceIsEvaluatedAsTheRunIs) {
  expect_done(interlock({"export", "run", "--to", "exported"}));
  const CommandResult there = interlock({"evaluate", "exported", "--data", "all", "--json"});
  expect_done(there);
  EXPECT_EQ(last_object(there)["loss"], last_object(interlock({"evaluate", "run", "--data", "all", "--json"}))["loss"]);
}

TEST_F(Resume, ARunThatIsFinishedKeepsWhatItMeasured) {
  expect_done(resume());
  const auto before = files("run");
  const std::string trace = read("run/trace.json");
  const CommandResult again = resume();
  expect_done(again);
  for (const char* name : {"run/trace.json", "run/costs.json", "run/manifest.json", "run/weights.safetensors"})
    EXPECT_EQ(read(name), before.at(name)) << name;
  EXPECT_THAT(again.errors, HasSubstr("Nothing was left to do: step 4 is done"));
  EXPECT_TRUE(last_object(again)["loss"].is_null());
  EXPECT_THAT(trace, HasSubstr("0F0")) << "the steps after the checkpoint are traced";
}

}  // namespace
}  // namespace interlock
