// `generate`, and `evaluate` of a model that continues texts: one of bytes, trained for a moment with local heads.
// Samples of 33 bytes begin at every place of a text that repeats itself after ten.
#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/launch/commands/token_project.h"

namespace interlock {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class Generate : public SmallProject {
 protected:
  void SetUp() override {
    std::string text;
    for (int i = 0; i < 400; ++i) text += "abcd efgh ";
    write("text/one.txt", text);
    write("gpt.toml", R"([model]
name = "gpt"
layers = 4
width = 32
heads = 2
max_length = 48
dropout = 0.0

[data]
name = "text"
paths = ["text"]
sequence_length = 33

[objective]
name = "causal"

[learning]
rule = "local"
head = "shared_readout"

[parallel]
stages = 4
microbatches = 2
transport = "loopback"

[optimizer]
learning_rate = 0.02
warmup_steps = 4

[run]
steps = 150
folder = "run"
evaluate_every = 0
)");
    once("run", [&] { expect_done(interlock({"train", "gpt.toml"})); });
  }
  json generated(Words more) const {
    Words words{"generate", "run", "--json"};
    words.insert(words.end(), more.begin(), more.end());
    const CommandResult result = interlock(words);
    expect_done(result);
    return last_object(result);
  }
  json evaluated(const Words& more) const {
    Words words{"evaluate", "run", "--json", "--data", "text/one.txt"};
    words.insert(words.end(), more.begin(), more.end());
    const CommandResult result = interlock(words);
    expect_done(result);
    return last_object(result);
  }
};

TEST_F(Generate, ContinuesDrawsAndRefuses) {
  // What the text does over and over.
  const json likeliest = generated({"abcd efgh ab", "--tokens", "10", "--temperature", "0"});
  EXPECT_EQ(likeliest["text"], "abcd efgh abcd efgh ab");
  EXPECT_EQ(likeliest["tokens"].size(), 22U);
  EXPECT_EQ(likeliest["prompt_tokens"], 12);
  EXPECT_EQ(likeliest["tokens"][12], 5 + 'c');
  const CommandResult shown = interlock({"generate", "run", "abcd efgh ab", "--tokens", "10", "--temperature", "0"});
  expect_done(shown);
  EXPECT_EQ(shown.output, "abcd efgh abcd efgh ab\n");

  // Of no number nothing can be drawn.
  for (const char* option : {"--temperature", "--top-p"})
    for (const char* value : {"nan", "inf", "-1"}) {
      const CommandResult refused = interlock({"generate", "run", "ab", option, value});
      EXPECT_EQ(refused.code, 2) << option << " " << value;
      EXPECT_NE(refused.all.find(option), std::string::npos) << refused.all;
    }
  // Draws follow from the seed; one likeliest token is greedy whatever the temperature.
  const Words hot{"ab", "--tokens", "20", "--temperature", "5", "--top-k", "0", "--seed"};
  const auto with_seed = [&](const char* seed) {
    Words words = hot;
    words.emplace_back(seed);
    return generated(words)["tokens"];
  };
  EXPECT_EQ(with_seed("4"), with_seed("4"));
  EXPECT_NE(with_seed("4"), with_seed("5"));
  EXPECT_EQ(generated({"abcd efgh ab", "--tokens", "10", "--temperature", "9", "--top-k", "1"})["tokens"],
            likeliest["tokens"]);
  EXPECT_EQ(generated({"abcd efgh ab", "--tokens", "10", "--temperature", "0.5", "--top-p", "1e-6"})["tokens"],
            likeliest["tokens"]);

  // Several prompts together say what each says alone.
  write("prompts.txt", "abcd efgh ab\nefgh abcd efg\n\ncd\n");
  const json all = generated({"--prompts", "prompts.txt", "--tokens", "10", "--temperature", "0"})["continuations"];
  ASSERT_EQ(all.size(), 4U);
  EXPECT_EQ(all[0], likeliest);
  EXPECT_EQ(all[1], generated({"efgh abcd efg", "--tokens", "10", "--temperature", "0"}));
  EXPECT_EQ(all[2], generated({"", "--tokens", "10", "--temperature", "0"}));
  EXPECT_EQ(all[2]["tokens"][0], 2);  // a document begins behind the end of another

  // As far as the model reads, and no further.
  const CommandResult full = interlock({"generate", "run", "abcd", "--tokens", "100", "--temperature", "0", "--json"});
  expect_done(full);
  EXPECT_EQ(last_object(full)["tokens"].size(), 48U);
  EXPECT_THAT(full.all, HasSubstr("reads at most 48 tokens"));

  expect_failure(interlock({"generate", "run", std::string(48, 'a')}), 2, {"48 tokens", "at most 48", "shorten"});
  expect_failure(interlock({"generate", "run"}), 2, {"prompt"});
  const auto expect_usage = [&](const Words& words, const std::string& option) {
    const CommandResult result = interlock(words);
    EXPECT_EQ(result.code, 2);
    EXPECT_THAT(result.all, HasSubstr(option));
  };
  expect_usage({"generate", "run", "a", "--prompts", "prompts.txt"}, "--prompts");
  expect_failure(interlock({"generate", "run", "--prompts", "nowhere.txt"}), 65, {"nowhere.txt"});
  for (const char* path : {"/dev/zero", "run"})
    expect_failure(interlock({"generate", "run", "--prompts", path}), 65, {"cannot read", path});
  for (const auto& [option, value] :
       std::vector<std::pair<std::string, std::string>>{{"--tokens", "0"},
                                                        {"--tokens", "1.5"},
                                                        {"--seed", "-1"},
                                                        {"--exit", "99999999999999999999"},
                                                        {"--top-k", "x"}}) {
    const CommandResult result = interlock({"generate", "run", "a", option, value});
    EXPECT_EQ(result.code, 2) << option;
    EXPECT_THAT(result.all,
                testing::AllOf(HasSubstr(option), HasSubstr("\"" + value + "\" is not a whole number from")));
  }
  expect_usage({"generate", "run", "a", "--top-p", "0"}, "--top-p");
  expect_usage({"generate", "run", "a", "--temperature", "-1"}, "--temperature");
  expect_failure(interlock({"fill", "run", "a<mask>b"}), 64, {"continues texts", "interlock generate"});
  expect_failure(interlock({"predict", "run", "--input", "prompts.txt"}), 64, {"interlock generate"});
}

TEST_F(Generate, FromAnExit) {
  const json exits = evaluated({"--exits"})["exits"];
  ASSERT_EQ(exits.size(), 4U);
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(exits[i]["layers"], i + 1);
  const json whole = generated({"abcd efgh ab", "--tokens", "10", "--temperature", "0", "--exit", "4"});
  EXPECT_EQ(whole["text"], "abcd efgh abcd efgh ab");
  const json early = generated({"abcd efgh ab", "--tokens", "10", "--temperature", "3", "--exit", "1"});
  EXPECT_EQ(early["tokens"].size(), 22U);
  expect_failure(interlock({"generate", "run", "a", "--exit", "5"}), 64, {"--exit 5", "1, 2, 3", "4"});
}

// The engine has evaluated the same samples by the same heads, stage by stage; `evaluate` puts a body of its own
// together for every exit. By heads of blocks: those that read through a copy of the readout are read through the
// present one.
TEST_F(Generate, ExitsHaveTheLossesThatTrainingFound) {
  expect_done(interlock({"train", "gpt.toml", "--set", "run.folder=told", "--set", "learning.head=block", "--set",
                         "run.steps=20", "--set", "run.evaluate_every=20", "--set", "run.evaluate_sequences=1000",
                         "--set", "data.held_out=0.2"}));
  std::istringstream lines(read("told/metrics.jsonl"));
  json told;
  for (std::string line; std::getline(lines, line);)
    if (const json row = json::parse(line); row.contains("validation_losses")) told = row["validation_losses"];
  const json exits = last_object(interlock({"evaluate", "told", "--json", "--exits"}))["exits"];
  ASSERT_EQ(told.size(), 4U);
  ASSERT_EQ(exits.size(), 4U);
  for (size_t i = 0; i < 4; ++i)  // float32, added up in another order
    EXPECT_NEAR(exits[i]["loss"].get<double>(), told[std::to_string(i)].get<double>(), 1e-5) << i;
  EXPECT_NE(exits[0]["loss"], exits[3]["loss"]);
}

TEST_F(Generate, HeadsInsideOfBlocksAreToldOf) {
  expect_done(interlock({"train", "gpt.toml", "--set", "run.folder=halves", "--set", "parallel.unit=half_block",
                         "--set", "parallel.partition=[1,2,2,3]", "--set", "run.steps=1"}));
  const CommandResult result = interlock({"evaluate", "halves", "--exits"});
  expect_done(result);
  EXPECT_THAT(result.output, HasSubstr("Passed over: heads.0_attention, heads.1_attention, heads.2_attention lie"));
  expect_failure(interlock({"generate", "halves", "a", "--exit", "1"}), 64, {"--exit 1", "4", "heads.0_attention"});
}

TEST_F(Generate, BitsPerByteFitTheLoss) {
  const json one = evaluated({"--exits"});
  // 4000 bytes and an end: the loss is per target, the bits are per byte.
  EXPECT_EQ(one["targets"], 4001);
  EXPECT_NEAR(one["bits_per_byte"].get<double>(), one["loss"].get<double>() * 4001 / 4000 / std::log(2), 1e-12);
  EXPECT_NEAR(one["perplexity"].get<double>(), std::exp(one["loss"].get<double>()), 1e-9);
  EXPECT_EQ(one["exits"].back()["loss"], one["loss"]);
  EXPECT_EQ(one["exits"].back()["bits_per_byte"], one["bits_per_byte"]);
  EXPECT_LT(one["loss"], 1.0);  // a period of ten letters
  EXPECT_EQ(evaluated({})["loss"], one["loss"]);
  EXPECT_FALSE(evaluated({}).contains("exits"));
}

TEST_F(Generate, WeightsThatAreNoNumbersAreRefused) {
  change_stored(path("run/weights.safetensors").string(), [](StoredFile& stored) {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    std::memcpy(stored.tensors.at("transformer.wpe.weight").bytes.data(), &nan, sizeof nan);
  });
  expect_failure(interlock({"generate", "run", "abc"}), 65, {"run/weights.safetensors", "not finite"});
}

// Lines of a file may end as they do on Windows.
TEST_F(Generate, PromptsEndAsTheirLinesDo) {
  write("prompts", "abcd\r\nefgh\r\n");
  const CommandResult told = interlock({"generate", "run", "--prompts", "prompts", "--tokens", "3", "--json"});
  expect_done(told);
  for (const json& one : last_object(told)["continuations"]) EXPECT_EQ(one["prompt_tokens"], 4);
}

TEST_F(Generate, AMaskedModelSaysFill) {
  expect_done(train({"run.folder=masked", "run.steps=1", "parallel.transport=loopback"}));
  expect_failure(interlock({"generate", "masked", "abc"}), 64, {"guesses masked places", "interlock fill"});
  const json exits = last_object(interlock({"evaluate", "masked", "--json", "--exits", "--data", "text"}))["exits"];
  EXPECT_GE(exits.size(), 2U);
  EXPECT_FALSE(exits[0].contains("bits_per_byte"));  // a part of the text says nothing of all of it
}

}  // namespace
}  // namespace interlock
