// `interlock finetune`: the configs it writes are ordinary, its numbers are those of their runs, and it goes on where
// it was interrupted.
#include <gmock/gmock.h>

#include <cmath>
#include <filesystem>

#include "tests/launch/commands/labelled_project.h"

namespace interlock {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class FinetuneCli : public LabelledProject {
 protected:
  void SetUp() override {
    LabelledProject::SetUp();
    // What it starts from: a masked model of bytes, hardly trained.
    once("base", [&] { expect_done(train_threads({"model.max_length=64", "run.steps=2", "run.folder=base"})); });
  }
  Words words(const Words& more) const {
    Words all{"finetune",     "base",
              "--train",      "train.tsv",
              "--validation", "valid.tsv",
              "--text",       "sentence",
              "--label",      "label",
              "--set",        "optimizer.learning_rate=0.01",
              "--set",        "parallel.transport=loopback"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
};

TEST_F(FinetuneCli, WritesOrdinaryConfigsAndReportsTheirRuns) {
  const CommandResult result = interlock(words({"--seeds", "2", "--epochs", "8", "--to", "out", "--json"}));
  expect_done(result);
  const json report = last_object(result);
  EXPECT_EQ(report, json::parse(read("out/result.json")));
  EXPECT_EQ(report["metric"], "accuracy");
  ASSERT_EQ(report["seeds"].size(), 2U);
  const double first = report["seeds"][0]["value"], second = report["seeds"][1]["value"];
  EXPECT_NEAR(report["mean"].get<double>(), (first + second) / 2, 1e-12);
  EXPECT_NEAR(report["spread"].get<double>(), std::abs(first - second) / std::sqrt(2.0), 1e-12);
  EXPECT_GT(report["mean"].get<double>(), 0.6);  // half of it by chance
  EXPECT_THAT(result.errors, HasSubstr("the readout starts fresh"));
  expect_failure(interlock({"predict", "out", "--input", "valid.tsv"}), 65, {"out/seed-1 or out/seed-2"});
  const CommandResult predicted = interlock({"predict", "out/seed-1", "--input", "valid.tsv"});
  expect_done(predicted);
  const std::string& told = predicted.errors;
  EXPECT_THAT(told, HasSubstr("reading out/seed-1/weights.safetensors"));
  EXPECT_EQ(told.find("reading "), told.rfind("reading ")) << "opened more than once";
  size_t numbers = 0;  // of the file: nothing is frozen, and there are no local heads
  for (const json& seed : report["seeds"]) {
    const std::string path = seed["path"];
    const CommandResult evaluated = interlock({"evaluate", path, "--data", "valid.tsv", "--json"});
    expect_done(evaluated);
    EXPECT_NEAR(last_object(evaluated)["accuracy"].get<double>(), seed["value"].get<double>(), 1e-12);
    EXPECT_EQ(seed["scores"]["accuracy"], seed["value"]);
    const CommandResult inspected = interlock({"inspect", path, "--json"});
    expect_done(inspected);
    numbers = last_object(inspected)["parameters"];
  }
  EXPECT_EQ(report["trained_parameters"], numbers);
  // As `train` runs it, elsewhere.
  const CommandResult alone = interlock({"train", "out/seed-2.toml", "--set", "run.folder=alone", "--json"});
  expect_done(alone);
  EXPECT_EQ(last_object(alone)["digest"], json::parse(read("out/seed-2/result.json"))["digest"]);
}

// A model that tells the same classes apart keeps its readout, in whatever order the new tables begin with them.
TEST_F(FinetuneCli, ClassesKeepTheOrderOfTheModel) {
  expect_done(interlock(words({"--seeds", "1", "--epochs", "8", "--to", "first"})));
  const json before = json::parse(read("first/result.json"));
  std::vector<std::string> names = before["labels"];
  std::string table = "sentence\tlabel\n";
  for (int i = 0; i < 20; ++i) table += "alpha\tgood\nbeta\tbad\n";
  const bool good_first = names.front() == "good";
  write("other.tsv", good_first ? "sentence\tlabel\nbeta\tbad\n" + table.substr(table.find('\n') + 1) : table);
  const CommandResult again = interlock({"finetune",     "first/seed-1",
                                         "--train",      "other.tsv",
                                         "--validation", "valid.tsv",
                                         "--text",       "sentence",
                                         "--label",      "label",
                                         "--seeds",      "1",
                                         "--epochs",     "1",
                                         "--to",         "second",
                                         "--set",        "optimizer.learning_rate=1e-9",
                                         "--set",        "parallel.transport=loopback"});
  expect_done(again);
  EXPECT_THAT(again.errors, testing::Not(HasSubstr("starts fresh")));
  EXPECT_EQ(json::parse(read("second/result.json"))["labels"], before["labels"]);
  EXPECT_NEAR(json::parse(read("second/result.json"))["mean"].get<double>(), before["mean"].get<double>(), 0.02);
}

TEST_F(FinetuneCli, GoesOnWhereItWasInterrupted) {
  const Words all = words({"--seeds", "2", "--epochs", "6", "--to", "whole", "--json"});
  const CommandResult whole = interlock(all);
  expect_done(whole);
  const json expected = last_object(whole);
  Words again = words({"--seeds", "2", "--epochs", "6", "--to", "cut", "--json"});
  Words elsewhere = again;
  {
    CommandOptions options;
    options.folder = path().string();
    Words command = elsewhere;
    command.insert(command.begin(), program());
    RunningCommand running(command, options);
    const auto first_checkpoint = [&] { return std::filesystem::exists(path("cut/seed-2/metrics.jsonl")); };
    ASSERT_TRUE(running.wait_until(first_checkpoint));
    running.signal(SIGTERM);
    const CommandResult stopped = running.wait(60);
    EXPECT_TRUE(stopped.code == 75 || stopped.code == 0) << stopped.all;
    EXPECT_TRUE(stopped.left_running.empty());
  }
  const CommandResult result = interlock(again);
  expect_done(result);
  json found = last_object(result);
  EXPECT_THAT(result.errors, HasSubstr("seed 1 is done already"));
  ASSERT_EQ(found["seeds"].size(), 2U);
  EXPECT_EQ(found["mean"], expected["mean"]);
  for (size_t i = 0; i < 2; ++i) {
    const std::string number = std::to_string(i + 1);
    EXPECT_EQ(found["seeds"][i]["value"], expected["seeds"][i]["value"]);
    EXPECT_EQ(json::parse(read("cut/seed-" + number + "/result.json"))["digest"],
              json::parse(read("whole/seed-" + number + "/result.json"))["digest"]);
  }
}

TEST_F(FinetuneCli, WorksAsAPipelineUnderLocalRules) {
  for (const std::string head : {"linear", "reconstruction"}) {
    const CommandResult result =
        interlock(words({"--seeds", "1", "--epochs", "4", "--to", head, "--json", "--set", "learning.rule=local",
                         "--set", "learning.head=" + head, "--set", "parallel.stages=2", "--set", "parallel.ranks=2"}));
    expect_done(result);
    EXPECT_EQ(last_object(result)["spread"], 0);
    EXPECT_THAT(result.errors, HasSubstr("the head of stage 0 starts fresh"));
  }
}

TEST_F(FinetuneCli, TechniquesStandInTheConfigs) {
  const CommandResult result = interlock(words(
      {"--seeds", "1", "--epochs", "1", "--to", "out", "--technique", "layer_drop:rate=0.25,balance=stratified"}));
  expect_done(result);
  const std::string config = read("out/seed-1.toml");
  EXPECT_THAT(config, HasSubstr("[[technique]]"));
  for (const char* line : {"layer_drop", "rate = 0.25", "stratified"}) EXPECT_THAT(config, HasSubstr(line));
}

// What no fine-tuning wrote stays, with --overwrite too, and so does what it reads.
TEST_F(FinetuneCli, NothingOfOthersIsReplaced) {
  expect_failure(interlock(words({"--to", "base", "--overwrite"})), 73, {"--to", "base", "the model to start from"});
  expect_done(interlock(words({"--seeds", "1", "--epochs", "1", "--to", "out"})));
  write("out/seed-words.txt", "mine");
  const auto before = files("out");
  expect_failure(interlock(words({"--to", "out", "--overwrite"})), 73, {"seed-words.txt", "no fine-tuning wrote"});
  EXPECT_EQ(files("out"), before);
  std::filesystem::remove(path("out/seed-words.txt"));
  write("tables/seed-1.tsv", read("train.tsv"));
  expect_failure(interlock(words({"--train", "tables/seed-1.tsv", "--to", "tables", "--overwrite"})), 73, {"--train"});
  expect_done(interlock(words({"--seeds", "1", "--epochs", "1", "--to", "out", "--overwrite"})));
}

// The same paths, and other tables or another model: seeds that are done tell nothing of these.
TEST_F(FinetuneCli, WhatLiesAtItsPathsIsWhatItBeganWith) {
  const Words again = words({"--seeds", "1", "--epochs", "1", "--to", "out"});
  expect_done(interlock(again));
  const std::string good = read("train.tsv");
  write("train.tsv", table(160, 3));
  expect_failure(interlock(again), 73, {"out/seed-1.toml", "not what this fine-tuning began with", "--overwrite"});
  write("train.tsv", good);
  EXPECT_THAT(interlock(again).errors, HasSubstr("seed 1 is done already"));
  expect_done(train({"model.max_length=64", "run.steps=3", "run.folder=other"}));
  std::filesystem::rename(path("base"), path("earlier"));
  std::filesystem::rename(path("other"), path("base"));
  expect_failure(interlock(again), 73, {"not what this fine-tuning began with"});
}

TEST_F(FinetuneCli, ASecondDropoutFollowsTheFirst) {
  expect_done(interlock(words({"--seeds", "1", "--epochs", "0.1", "--to", "out", "--set", "model.dropout=0"})));
  EXPECT_THAT(read("out/seed-1.toml"), HasSubstr("attention_dropout = 0.0"));
}

TEST_F(FinetuneCli, SaysWhatMayBeOtherThanMeant) {
  const CommandResult result =
      interlock({"finetune", "base", "--train", "train.tsv", "--text", "0", "--label", "1", "--seeds", "1", "--epochs",
                 "0.1", "--to", "out", "--set", "parallel.transport=loopback", "--set", "learning.rule=local"});
  expect_done(result);
  EXPECT_THAT(result.errors, HasSubstr("\"label\", the label of line 1, occurs nowhere else"));
  EXPECT_THAT(result.errors, HasSubstr("parallel.stages = 1: there are no stages below"));
  const CommandResult named = interlock(words({"--seeds", "1", "--epochs", "0.1", "--to", "named"}));
  EXPECT_THAT(named.errors, testing::Not(HasSubstr("occurs nowhere else")));
  EXPECT_THAT(named.errors, HasSubstr("f1 is that of the class"));
}

TEST_F(FinetuneCli, WhatIsRefused) {
  const auto to = [&](const std::string& folder, Words more) {
    more.insert(more.end(), {"--seeds", "1", "--epochs", "1", "--to", folder});
    return interlock(words(more));
  };
  expect_failure(to("a", {"--set", "run.seed=3"}), 2, {"run.seed", "--seeds"});
  expect_failure(to("a", {"--set", "run.folder = \"x\""}), 2, {"run.folder", "--to"});
  expect_failure(to("a", {"--metric", "spearman"}), 2, {"--metric spearman", "classification", "accuracy, f1"});
  expect_failure(to("a", {"--metric", "accuracy", "--objective", "regression"}), 2,
                 {"--metric accuracy", "regression", "spearman"});
  expect_failure(to("b", {"--set", "optimizer.learning_rat=1"}), 64, {"learning_rat", "learning_rate"});
  expect_failure(to("b", {"--technique", "adapters:size"}), 2, {"--technique adapters:size", "OPTION=VALUE"});
  expect_failure(
      interlock({"finetune", "base", "--train", "train.tsv", "--text", "sentence", "--label", "lable", "--to", "b"}),
      65, {"train.tsv: line 1: unknown column \"lable\"", "did you mean \"label\"?"});
  EXPECT_FALSE(std::filesystem::exists(path("b")));
  write("one.tsv", "sentence\tlabel\nalpha\tgood\nbeta\tgood\n");
  expect_failure(interlock({"finetune", "base", "--train", "one.tsv", "--text", "sentence", "--to", "b"}), 65,
                 {"one.tsv", "nothing to tell apart"});
  expect_done(to("c", {}));
  expect_failure(to("c", {"--set", "run.precision=float64"}), 73, {"c/seed-1.toml", "other settings", "--overwrite"});
  expect_done(to("c", {"--set", "run.precision=float64", "--overwrite"}));
}

}  // namespace
}  // namespace interlock
