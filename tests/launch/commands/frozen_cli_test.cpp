// model.frozen as a user writes it: what the plan says of it, what a run counts, what is refused.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <tuple>

#include "tests/support/small_project.h"

namespace interlock {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

constexpr const char* lower = "model.frozen=['roberta.embeddings.*', '*.layer.0.*', '*.layer.1.*']";

class FrozenParameters : public SmallProject {
 protected:
  json done(const CommandResult& result) {
    expect_done(result);
    return last_object(result);
  }
  json plan(const Words& overrides) {
    Words words{"plan", "config.toml", "--json"};
    for (const std::string& one : overrides) words.insert(words.end(), {"--set", one});
    return done(interlock(words));
  }
  std::map<std::string, json> tensors(const std::string& place) {
    std::map<std::string, json> hashes;
    const json inspected = done(interlock({"inspect", place, "--json"}));
    for (const json& tensor : inspected["tensors"]) hashes[tensor["name"]] = tensor["sha256"];
    return hashes;
  }
  // The config with this line as the second, in [model].
  void write_frozen(const std::string& line) {
    const std::string config = read("config.toml"), section = "[model]\n";
    ASSERT_TRUE(config.starts_with(section));
    write("config.toml", section + line + "\n" + config.substr(section.size()));
  }
  void expect_refused(const std::string& line, const Words& words) {
    write_frozen(line);
    const CommandResult result = train();
    expect_failure(result, 64, words);
    EXPECT_THAT(result.all, Not(HasSubstr("rank 0:"))) << "a rank was started for it";
    EXPECT_FALSE(std::filesystem::exists(path("run")));
  }
};

TEST_F(FrozenParameters, PlanAndRunCountNoGradientMessageBelowTheLowestStageThatTrains) {
  for (const std::string rule : {"learning.rule=global", "learning.rule=sum"}) {
    const json planned = plan({lower, rule})["messages"],
               counted = done(train({lower, rule}, {"--json", "--overwrite"}))["messages_per_boundary"];
    ASSERT_EQ(planned.size(), 3U);
    for (size_t boundary = 0; boundary < 3; ++boundary)
      for (const char* way : {"forward", "backward"})
        EXPECT_EQ(counted[boundary][way].get<int64_t>(), 4 * planned[boundary][way].get<int64_t>())
            << rule << ", " << way << " over boundary " << boundary;
    // Stages 0 and 1 train nothing; four microbatches come down to stage 2.
    EXPECT_EQ(counted[0]["backward"], 0);
    EXPECT_EQ(counted[1]["backward"], 0);
    EXPECT_EQ(counted[2]["backward"], 4 * 4);
  }
  EXPECT_EQ(plan({"learning.rule=global"})["messages"][0]["backward"], 4) << "unfrozen there are some";
}

TEST_F(FrozenParameters, TheConfigOfARunReadsBack) {
  const json first = done(train_threads({lower}, {"--json"}));
  EXPECT_THAT(read("run/config.toml"), HasSubstr("frozen = [\"roberta.embeddings.*\", \"*.layer.0.*\""));
  std::filesystem::copy_file(path("run/config.toml"), path("again.toml"));
  const json again = done(interlock({"train", "again.toml", "--set", "run.folder='again'", "--json"}));
  EXPECT_EQ(again["digest"], first["digest"]);
  const json trained = done(train_threads({"run.folder='trained'"}, {"--json"}));
  EXPECT_NE(trained["digest"], first["digest"]) << "nothing was frozen";
}

// Which parameters train may change at a checkpoint: those frozen from there on stay as they are in it.
TEST_F(FrozenParameters, MayBeOthersAfterAResumedCheckpoint) {
  done(train_threads({"checkpoint.every=2"}, {"--until", "2", "--json"}));
  expect_done(interlock({"inspect", "run/checkpoints/step-00000002"}));
  done(train_threads({"model.frozen=['roberta.*', 'heads.*', 'lm_head.*weight']"}, {"--resume", "--json"}));
  const auto before = tensors("run/checkpoints/step-00000002"), after = tensors("run");
  for (const auto& [name, hash] : after) {
    const bool trains = name.starts_with("lm_head.") && name.ends_with("bias");
    EXPECT_EQ(hash != before.at(name), trains) << name;
  }
  EXPECT_TRUE(after.contains("lm_head.dense.bias"));
}

// The readout belongs to the last stage: it used to train when the stage was frozen.
TEST_F(FrozenParameters, TheLastStageKeepsItsReadout) {
  done(train_threads({"run.steps=0", "run.folder='start'"}, {"--json"}));
  done(train_threads({"learning.frozen=[0, 1, 3]"}, {"--json"}));
  const auto start = tensors("start"), end = tensors("run");
  ASSERT_TRUE(end.contains("lm_head.decoder.weight"));
  for (const auto& [name, hash] : end) {
    if (name.starts_with("heads.")) continue;
    EXPECT_EQ(hash != start.at(name), name.find("encoder.layer.2.") != std::string::npos) << name;
  }
}

TEST_F(FrozenParameters, ARunInWhichNothingLearnsIsRefused) {
  for (const Words& frozen : {Words{"learning.frozen=[0, 1, 2, 3]"}, Words{"model.frozen=['*']"},
                              Words{"learning.frozen=[3]", "model.frozen=['roberta.*', 'heads.*']"}}) {
    const CommandResult result = train(frozen);
    expect_failure(result, 64, {"config.toml", "nothing would learn", "learning.frozen", "run.steps = 0"});
    EXPECT_THAT(result.all, Not(HasSubstr("rank 0:"))) << "a rank was started for it";
    EXPECT_FALSE(std::filesystem::exists(path("run")));
    Words words{"plan", "config.toml"};
    for (const std::string& one : frozen) words.insert(words.end(), {"--set", one});
    const CommandResult planned = interlock(words);
    expect_done(planned);
    EXPECT_THAT(planned.errors, HasSubstr("nothing would learn"));
  }
  done(train_threads({"learning.frozen=[0, 1, 2, 3]", "run.steps=0"}, {"--json"}));
}

TEST_F(FrozenParameters, TheLastStageIsFrozenThroughoutOrNotAtAll) {
  expect_failure(train({"learning.frozen=[3]", "learning.change=[{at_step=3, rule='sum', frozen=[0]}]"}), 64,
                 {"learning.frozen", "the last stage, 3", "1 of 2 rules", "readout"});
  // Under every rule, or under none.
  done(train_threads({"learning.frozen=[3]", "learning.change=[{at_step=3, rule='global'}]"}, {"--json"}));
}

TEST_F(FrozenParameters, APatternThatFitsNothingIsRefusedWithANameThatComesNear) {
  expect_refused(
      "frozen = ['*.layer.0.*', 'roberta.embedings.LayerNorm.*']",
      {"config.toml:2", "model.frozen[1]", "roberta.embedings.LayerNorm.*", "roberta.embeddings.LayerNorm."});
}

// `inspect` lists it, as files have it under both of its names.
TEST_F(FrozenParameters, TheSecondNameOfATensorIsRefusedWithTheFirst) {
  for (const auto& [name, first, tie] :
       {std::tuple{"lm_head.decoder.bias", "another name of lm_head.bias", "false"},
        std::tuple{"lm_head.decoder.weight", "another name of roberta.embeddings.word_embeddings.weight", "true"}})
    expect_failure(interlock({"plan", "config.toml", "--set", std::string("model.frozen=['") + name + "']", "--set",
                              std::string("model.tie_embeddings=") + tie}),
                   64, {"model.frozen[0]", first});
}

TEST_F(FrozenParameters, ALayerThatIsNotThereIsRefused) {
  expect_refused("frozen = ['*.layer.4.*']", {"config.toml:2", "model.frozen[0]", "*.layer.4.*", "encoder.layer."});
}

TEST_F(FrozenParameters, AnEmptyPatternIsRefused) {
  expect_refused("frozen = ['']", {"config.toml:2", "model.frozen[0]"});
}

TEST_F(FrozenParameters, ATextInPlaceOfAListIsRefused) {
  expect_refused("frozen = 'roberta.*'", {"config.toml:2", "model.frozen", "a list of strings"});
}

TEST_F(FrozenParameters, NumbersInPlaceOfPatternsAreRefused) {
  expect_refused("frozen = [0, 1]", {"config.toml:2", "model.frozen", "a list of strings"});
}

}  // namespace
}  // namespace interlock
