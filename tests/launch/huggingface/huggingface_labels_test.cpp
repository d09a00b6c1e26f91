// Models of labels against transformers' RobertaForSequenceClassification: what `predict` says of an imported one, and
// what transformers say of an export. Always on numbers that tests/golden/huggingface/labels.py stored; and where a
// Python with transformers is found (INTERLOCK_PYTHON, else python3), on random models and on one of our own.
#include <gmock/gmock.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/launch/commands/token_project.h"
#include "tests/launch/huggingface/by_formula.h"
#include "tests/launch/huggingface/python.h"

namespace interlock {
namespace {

using nlohmann::json;

constexpr double bound = 1e-4;  // what users are promised; float32 sums in another order are worth some 1e-6

class Labels : public TokenProject {
 protected:
  void SetUp() override {}

  // rows.jsonl and pairs.jsonl of the stored texts.
  void write_rows(const json& expected) const {
    std::string singles, pairs;
    for (const json& pair : expected["pairs"]) {
      singles += json{{"text", pair[0]}}.dump() + "\n";
      pairs += json{{"text", pair[0]}, {"second", pair[1]}}.dump() + "\n";
    }
    write("singles.jsonl", singles);
    write("pairs.jsonl", pairs);
  }

  // `truth`: log-probabilities of every class, or the score, by row.
  void compare(const std::string& model, const Words& input, const json& truth, const json& config) const {
    Words words{"predict", model, "--json", "--input"};
    words.insert(words.end(), input.begin(), input.end());
    const CommandResult result = interlock(words);
    expect_done(result);
    const json predictions = last_object(result)["predictions"];
    ASSERT_EQ(predictions.size(), truth.size());
    for (size_t row = 0; row < truth.size(); ++row) {
      if (truth[row].size() == 1) {
        EXPECT_NEAR(predictions[row]["score"].get<double>(), truth[row][0].get<double>(), bound) << row;
        continue;
      }
      ASSERT_EQ(predictions[row]["probabilities"].size(), truth[row].size());
      for (size_t label = 0; label < truth[row].size(); ++label) {
        const std::string name = config["id2label"][std::to_string(label)];
        const double probability = predictions[row]["probabilities"][name];
        EXPECT_NEAR(std::log(probability), truth[row][label].get<double>(), bound) << row << " " << name;
      }
    }
  }
  void compare_both(const std::string& model, const json& expected, const json& config) const {
    write_rows(expected);
    compare(model, {"singles.jsonl"}, expected["of_singles"], config);
    compare(model, {"pairs.jsonl", "--pair", "second"}, expected["of_pairs"], config);
  }
};

TEST_F(Labels, NumbersOfTransformers) {
  const std::filesystem::path golden = INTERLOCK_GOLDEN "/huggingface";
  std::filesystem::create_directory(path("hf"));
  std::filesystem::copy(golden / "tokenizer.json", path("hf/tokenizer.json"));
  std::filesystem::copy(golden / "labels/config.json", path("hf/config.json"));
  json expected, config;
  std::ifstream(golden / "labels/expected.json") >> expected;
  std::ifstream(golden / "labels/config.json") >> config;
  StoredFile file = encoder_by_formula(config);
  const int64_t width = config["hidden_size"], classes = static_cast<int64_t>(config["id2label"].size());
  add_linear(file, "classifier.dense", width, width);
  add_linear(file, "classifier.out_proj", width, classes);
  write_stored(path("hf/model.safetensors"), file);
  expect_done(interlock({"import", "hf", "--to", "in"}));
  compare_both("in", expected, config);
  // And back: bit for bit, with the names of its classes.
  expect_done(interlock({"export", "in", "--to", "out"}));
  const StoredFile exported = read_stored(path("out/model.safetensors"));
  ASSERT_EQ(exported.tensors.size(), file.tensors.size());
  for (const auto& [name, tensor] : file.tensors) EXPECT_TRUE(exported.tensors.at(name).bytes == tensor.bytes) << name;
  const json written = json::parse(read("out/config.json"));
  for (const char* key : {"id2label", "label2id", "problem_type", "hidden_size", "vocab_size", "architectures"})
    EXPECT_EQ(written[key], config[key]) << key;
}

TEST_F(Labels, WhatIsRefusedOfAConfig) {
  const std::filesystem::path golden = INTERLOCK_GOLDEN "/huggingface";
  json config;
  std::ifstream(golden / "labels/config.json") >> config;
  StoredFile file = encoder_by_formula(config);
  add_linear(file, "classifier.dense", config["hidden_size"], config["hidden_size"]);
  add_linear(file, "classifier.out_proj", config["hidden_size"], 3);
  std::filesystem::create_directory(path("hf"));
  write_stored(path("hf/model.safetensors"), file);
  const auto refused = [&](const std::string& key, const json& value, const Words& words) {
    json changed = config;
    changed[key] = value;
    write("hf/config.json", changed.dump());
    expect_failure(interlock({"import", "hf", "--to", "in"}), 65, words);
  };
  refused("problem_type", "multi_label_classification", {"hf/config.json", "problem_type", "multi_label"});
  refused("problem_type", "regression", {"id2label", "3 names"});
  refused("id2label", {{"0", "a"}, {"2", "b"}}, {"id2label", "0, 1, ..."});
  refused("classifier_dropout", 0.3, {"classifier_dropout", "hidden_dropout_prob"});
  refused("id2label", {{"0", "a"}, {"1", "b"}}, {"classifier.out_proj", "[3, 32]", "[2, 32]"});
  // Without its readout it could be an encoder alone, were it not for what else it holds.
  refused("architectures", json::array({"RobertaForMaskedLM"}), {"RobertaForMaskedLM", "classifier.out_proj.weight"});
}

CommandResult labels_py(const Words& words) {
  Words command{python_with_transformers(), INTERLOCK_GOLDEN "/huggingface/labels.py"};
  command.insert(command.end(), words.begin(), words.end());
  return run_command(command, patient());
}
#define SKIP_WITHOUT_PYTHON()             \
  if (python_with_transformers().empty()) \
  GTEST_SKIP() << "no Python with torch, transformers and tokenizers (INTERLOCK_PYTHON names one)"

class LiveLabels : public Labels, public testing::WithParamInterface<int> {};

// One class: scores.
TEST_P(LiveLabels, RandomModels) {
  SKIP_WITHOUT_PYTHON();
  const std::string classes = std::to_string(GetParam());
  const CommandResult made = labels_py({"random", path("hf").string(), "7", classes});
  ASSERT_EQ(made.code, 0) << made.all;
  const json expected = json::parse(read("hf/expected.json")), config = json::parse(read("hf/config.json"));
  expect_done(interlock({"import", "hf", "--to", "in"}));
  compare_both("in", expected, config);
  expect_done(interlock({"export", "in", "--to", "out"}));
  const CommandResult said = interlock({"predict", "in", "--input", "pairs.jsonl", "--pair", "second", "--json"});
  expect_done(said);
  write("said.json", last_object(said).dump());
  const CommandResult opened =
      labels_py({"open", path("out").string(), path("pairs.jsonl").string(), path("said.json").string()});
  EXPECT_EQ(opened.code, 0) << opened.all;
}
INSTANTIATE_TEST_SUITE_P(Classes, LiveLabels, testing::Values(1, 2, 5));

class OwnLabels : public TokenProject {};

// Tokenizer, weights and classes all ours, out of a fine-tuning.
TEST_F(OwnLabels, OpenThere) {
  train_once();
  std::string table = "text,second,label\n", rows;
  for (int i = 0; i < 24; ++i) {
    const std::string text = i % 2 == 0 ? "alpha caf\u00e9 " : "beta ",
                      second = "gamma \U0001f600 " + std::to_string(i);
    table += "\"" + text + "\",\"" + second + "\"," + (i % 2 == 0 ? "plus" : "minus") + "\n";
    if (i < 6) rows += json{{"text", text}, {"second", second}}.dump() + "\n";
  }
  write("table.csv", table);
  write("rows.jsonl", rows);
  expect_done(
      interlock({"finetune", "run", "--train", "table.csv", "--text", "text", "--pair", "second", "--label", "label",
                 "--seeds", "1", "--set", "optimizer.learning_rate=0.01", "--set", "data.held_out=0.2", "--to", "ft"}));
  expect_done(interlock({"export", "ft/seed-1", "--to", "out"}));
  const json config = json::parse(read("out/config.json"));
  EXPECT_EQ(config["architectures"], json::array({"RobertaForSequenceClassification"}));
  EXPECT_EQ(config["id2label"], json({{"0", "plus"}, {"1", "minus"}}));
  const CommandResult said = interlock({"predict", "ft/seed-1", "--input", "rows.jsonl", "--json"});
  expect_done(said);
  expect_done(interlock({"import", "out", "--to", "again"}));
  const CommandResult again = interlock({"predict", "again", "--input", "rows.jsonl", "--pair", "second", "--json"});
  expect_done(again);
  EXPECT_EQ(last_object(again), last_object(said));
  SKIP_WITHOUT_PYTHON();
  write("said.json", last_object(said).dump());
  const CommandResult opened =
      labels_py({"open", path("out").string(), path("rows.jsonl").string(), path("said.json").string()});
  EXPECT_EQ(opened.code, 0) << opened.all;
}

}  // namespace
}  // namespace interlock
