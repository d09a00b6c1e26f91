// `run.weights`: a run that starts from the weights of another, in any cut, and what is refused.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/support/small_project.h"

namespace interlock {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

class StartWeights : public SmallProject {
 protected:
  void SetUp() override {
    once("the first run", [&] { expect_done(train_threads({"run.steps=2", "run.folder='first'"})); });
  }
  json against_first(const std::string& folder) {
    const CommandResult result = interlock({"inspect", folder, "--against", "first", "--json"});
    expect_done(result);
    return last_object(result);
  }
};

TEST_F(StartWeights, NoStepsWriteThemBack) {
  expect_done(train_threads({"run.weights='first'", "run.steps=0", "run.seed=2", "parallel.ranks=2"}));
  const json compared = against_first("run");
  EXPECT_EQ(compared["max_abs_difference"], 0);
  const CommandResult first = interlock({"inspect", "first", "--json"});
  EXPECT_EQ(compared["digest"], last_object(first)["digest"]);
}

TEST_F(StartWeights, AnotherCutTakesTheHeadsItHas) {
  expect_done(train_threads({"run.weights='first/weights.safetensors'", "run.steps=0", "run.seed=2",
                             "parallel.stages=2", "parallel.ranks=1"}));
  EXPECT_EQ(against_first("run")["max_abs_difference"], 0) << "the head above block 2 is there for both cuts";
}

TEST_F(StartWeights, AHeadThatTheyLackStartsFreshAndThatIsSaid) {
  expect_done(train_threads({"learning.rule=global", "run.steps=0", "run.folder='no heads'"}));
  const CommandResult result = train_threads({"run.weights='no heads'", "run.steps=0"});
  expect_done(result);
  for (const char* head : {"heads.1", "heads.2", "heads.3"}) EXPECT_THAT(result.errors, HasSubstr(head));
  expect_done(interlock({"inspect", "run", "--against", "no heads"}));
}

TEST_F(StartWeights, AreKeptWhenTheRunFolderIsTheirs) {
  const auto before = files("first");
  for (const char* start :
       {"first", "first/weights.safetensors", "first/checkpoints/step-00000002", "./corpus/../first"}) {
    expect_failure(train_threads({std::string("run.weights='") + start + "'", "run.folder='first'"}, {"--overwrite"}),
                   64, {"run.weights", "run.folder"});
    EXPECT_EQ(files("first"), before) << start;
  }
}

TEST_F(StartWeights, ThatAreMissingAreRefused) {
  const CommandResult result = train({"run.weights='nowhere'"});
  expect_failure(result, 65, {"nowhere"});
  EXPECT_THAT(result.all, Not(HasSubstr("rank 0"))) << "a rank was started for it";
  EXPECT_FALSE(std::filesystem::exists(path("run")));
}

TEST_F(StartWeights, ThatAreTruncatedAreRefused) {
  const std::string whole = read("first/weights.safetensors");
  write("cut.safetensors", whole.substr(0, whole.size() / 2));
  expect_failure(train({"run.weights='cut.safetensors'"}), 65, {"cut.safetensors"});
  EXPECT_FALSE(std::filesystem::exists(path("run")));
}

TEST_F(StartWeights, WhatChangesNothingOrMoreThanItSaysIsToldOf) {
  const CommandResult still = train_threads({"optimizer.learning_rate=0", "run.weights='first'", "run.steps=1"});
  expect_done(still);
  EXPECT_THAT(still.errors, HasSubstr("optimizer.learning_rate = 0: no parameter changes"));
  EXPECT_EQ(against_first("run")["max_abs_difference"], 0);
  const auto tied = [&](const std::string& frozen) {
    const CommandResult result = train_threads(
        {"model.tie_embeddings=true", "learning.rule=global", "learning.frozen=" + frozen}, {"--overwrite"});
    expect_done(result);
    return result.errors;
  };
  const std::string words = "goes on learning there";
  EXPECT_THAT(tied("[0]"), testing::AllOf(HasSubstr(words), HasSubstr("names stage 0"), HasSubstr("with stage 3")));
  EXPECT_THAT(tied("[3]"), HasSubstr(words));
  EXPECT_THAT(tied("[1]"), Not(HasSubstr(words)));
  EXPECT_THAT(tied("[0, 3]"), Not(HasSubstr(words)));
}

TEST_F(StartWeights, OfAnotherShapeAreRefused) {
  expect_failure(train_threads({"run.weights='first'", "model.width=32"}), 65, {"first/weights.safetensors", "shape"});
  EXPECT_FALSE(std::filesystem::exists(path("run/weights.safetensors")));
}

}  // namespace
}  // namespace interlock
