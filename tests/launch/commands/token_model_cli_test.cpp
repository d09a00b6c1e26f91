// `fill` with models that read tokens, and `inspect` of what a run leaves.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/launch/commands/token_project.h"

namespace interlock {
namespace {

using nlohmann::json;
using testing::ContainsRegex;
using testing::HasSubstr;

class TokenModel : public TokenProject {
 protected:
  void SetUp() override {
    TokenProject::SetUp();
    train_once();
  }
  json predictions(const std::string& from, const std::string& text, const std::string& top = "5") const {
    const CommandResult result = interlock({"fill", from, text, "--top", top, "--json"});
    expect_done(result);
    return last_object(result)["predictions"];
  }
};

TEST_F(TokenModel, FillGivesEveryTokenItsProbability) {
  const json all = predictions("run", "alpha<mask> gamma <mask>", std::to_string(vocabulary + 50));
  ASSERT_EQ(all.size(), 2U);
  for (const json& guesses : all) {
    ASSERT_EQ(guesses.size(), size_t{vocabulary});
    double sum = 0, before = 1;
    std::set<int> ids;
    for (const json& guess : guesses) {
      const double probability = guess["probability"];
      EXPECT_LE(probability, before);
      before = probability;
      sum += probability;
      ids.insert(guess["id"].get<int>());
      EXPECT_FALSE(guess["token"].get<std::string>().empty());
    }
    EXPECT_NEAR(sum, 1, 1e-12);  // 280 roundings of numbers below one, in double precision
    EXPECT_EQ(ids.size(), size_t{vocabulary});
  }
}

TEST_F(TokenModel, ASpaceBeforeTheMaskBelongsToIt) {
  EXPECT_EQ(predictions("run", "alpha <mask> beta"), predictions("run", "alpha<mask> beta"));
  EXPECT_NE(predictions("run", "alpha<mask> beta"), predictions("run", "alpha<mask>beta"));
}

TEST_F(TokenModel, RunCheckpointAndFileAreTheSameModel) {
  const json run = predictions("run", "alpha <mask>");
  EXPECT_EQ(predictions("run/weights.safetensors", "alpha <mask>"), run);
  EXPECT_EQ(predictions("run/checkpoints/step-00000002", "alpha <mask>"), run);
  std::filesystem::remove(path("run/weights.safetensors"));
  EXPECT_EQ(predictions("run", "alpha <mask>"), run) << "a run without weights yet: its newest checkpoint";
}

TEST_F(TokenModel, TextItCannotTakeIsUsage) {
  expect_failure(interlock({"fill", "run", "nothing to guess"}), 2, {"<mask>"});
  std::string text = "<mask>";
  for (int i = 0; i < 40; ++i) text += " zq";
  expect_failure(interlock({"fill", "run", text}), 2, {"tokens", "at most 32"});
  expect_failure(interlock({"fill", "run", "<mask> \xff"}), 2, {"UTF-8"});
}

TEST_F(TokenModel, TheTokenizerMustBeTheModels) {
  // A copy of the weights elsewhere finds the tokenizer by the config's path.
  std::filesystem::create_directory(path("elsewhere"));
  std::filesystem::copy(path("run/weights.safetensors"), path("elsewhere/weights.safetensors"));
  EXPECT_EQ(predictions("elsewhere", "<mask>"), predictions("run", "<mask>"));
  expect_done(
      interlock({"tokenize", "train", "--input", "corpus", "--vocabulary", "270", "--output", "elsewhere/tokenizer"}));
  expect_failure(interlock({"fill", "elsewhere", "<mask>"}), 65,
                 {"elsewhere/tokenizer", "another vocabulary", "270", "280"});
  expect_failure(interlock({"evaluate", "elsewhere", "--data", "corpus"}), 65, {"270", "280"});
  expect_failure(interlock({"export", "elsewhere", "--to", "hf"}), 65, {"270", "280"});
  std::filesystem::remove_all(path("elsewhere/tokenizer"));
  std::filesystem::remove_all(path("tokenizer"));
  expect_failure(interlock({"fill", "elsewhere", "<mask>"}), 65,
                 {"elsewhere/weights.safetensors", "tokenizer", "not found"});
}

TEST_F(TokenModel, RowsWithoutATokenAreFineWithTheRunsOwnTokenizer) {
  expect_done(train({"model.vocabulary=288", "run.folder=more"}));
  EXPECT_EQ(predictions("more", "<mask>", "1000")[0].size(), 280U) << "only tokens are offered";
  EXPECT_EQ(predictions("more/checkpoints/step-00000002", "<mask>"), predictions("more", "<mask>"));
  expect_done(interlock({"export", "more", "--to", "hf"}));
  expect_done(interlock({"import", "hf", "--to", "in"}));
  EXPECT_EQ(predictions("in", "<mask>"), predictions("more", "<mask>"));
}

TEST_F(TokenModel, AnotherTokenizerOfTheSameSizeIsRefused) {
  write("text.txt",
        "other words make other merges, other merges make other words: nobody knows which of them come first");
  expect_done(interlock(
      {"tokenize", "train", "--input", "text.txt", "--vocabulary", "280", "--output", "run/tokenizer", "--overwrite"}));
  expect_failure(interlock({"fill", "run", "<mask>"}), 65, {"run/tokenizer", "not the tokenizer", "fingerprint"});
  expect_failure(interlock({"fill", "run/checkpoints/step-00000002", "<mask>"}), 65, {"not the tokenizer"});
}

TEST_F(TokenModel, WeightsOfAnotherTokenizerStartNoRun) {
  write("text.txt", "other words make other merges, other merges make other words: who knows which come first");
  expect_done(interlock({"tokenize", "train", "--input", "text.txt", "--vocabulary", "280", "--output", "other"}));
  expect_done(interlock({"tokenize", "encode", "--tokenizer", "other", "--input", "corpus", "--output", "others"}));
  const Words others{"tokenizer.path=other", "data.paths=['others']"};
  const auto with = [&](const std::string& weights, Words more = {}) {
    more.insert(more.end(), {"run.weights=" + weights, "run.folder=second", "run.steps=0"});
    return train(more);
  };
  expect_done(interlock({"export", "run", "--to", "hf"}));
  expect_done(interlock({"import", "hf", "--to", "in"}));
  for (const std::string weights : {"run", "run/checkpoints/step-00000002", "in"}) {
    expect_failure(with(weights, others), 64, {"run.weights", weights, "another tokenizer", "tokenizer.path = other"});
    EXPECT_FALSE(std::filesystem::exists(path("second")));
    expect_done(with(weights));  // the run's own
    std::filesystem::remove_all(path("second"));
  }
  change_stored(path("run/weights.safetensors"), [](StoredFile& f) { f.metadata.erase("interlock.tokenizer"); });
  expect_done(with("run/weights.safetensors", others));  // these do not say
}

// As a kill while they are written would, a limit for the size of files ends the run between them.
TEST_F(TokenModel, TheTokenizerOfARunIsWholeOrAbsent) {
  CommandOptions small;
  small.largest_file = std::filesystem::file_size(path("tokenizer/tokenizer.json")) - 1;
  ASSERT_LT(std::filesystem::file_size(path("tokenizer/vocab.json")), small.largest_file);
  expect_failure(train({"run.folder=cut"}, {}, small), 73, {"tokenizer.json"});
  EXPECT_FALSE(std::filesystem::exists(path("cut/tokenizer")));
  write("cut/.tokenizer.tmp.AbCdEf/vocab.json", "{");  // what a kill leaves
  expect_done(train({"run.folder=cut"}, {"--resume"}));
  EXPECT_EQ(files("cut/tokenizer").size(), 3U);
  EXPECT_EQ(read("cut/tokenizer/tokenizer.json"), read("run/tokenizer/tokenizer.json"));
  EXPECT_FALSE(std::filesystem::exists(path("cut/.tokenizer.tmp.AbCdEf")));
  expect_no_half_files(path("cut"));
  EXPECT_EQ(predictions("cut", "alpha <mask>"), predictions("run", "alpha <mask>"));
}

TEST_F(TokenModel, TensorsTooManyTooFewOrOfAnotherShapeAreNamed) {
  const std::string file = path("run/weights.safetensors"), good = read("run/weights.safetensors");
  const auto refused = [&](const std::function<void(StoredFile&)>& change, const Words& words) {
    change_stored(file, change);
    expect_failure(interlock({"fill", "run", "<mask>"}), 65, words);
    write("run/weights.safetensors", good);
  };
  refused([](StoredFile& f) { f.tensors.erase("lm_head.dense.bias"); }, {"no tensor lm_head.dense.bias"});
  refused([](StoredFile& f) { f.tensors["roberta.more"] = f.tensors["lm_head.bias"]; }, {"roberta.more"});
  refused(
      [](StoredFile& f) {
        f.tensors["lm_head.bias"].entry.shape = {140, 2};
        f.tensors.erase("lm_head.decoder.bias");
      },
      {"lm_head.bias", "[140, 2]", "[280]"});
}

TEST_F(TokenModel, InspectTellsOfACheckpoint) {
  const CommandResult shown = interlock({"inspect", "run/checkpoints/step-00000002"});
  expect_done(shown);
  EXPECT_THAT(shown.output, HasSubstr("checkpoint of step 2"));
  EXPECT_THAT(shown.output, HasSubstr("rule global"));
  const CommandResult result = interlock({"inspect", "run/checkpoints/step-00000002", "--json"});
  expect_done(result);
  const json object = last_object(result);
  EXPECT_EQ(object["step"], 2);
  EXPECT_EQ(object["rule"], "global");
  EXPECT_FALSE(object["optimizer"]["tensors"].empty());
  EXPECT_GT(object["optimizer"]["bytes"], 0);
  for (const json& tensor : object["tensors"])
    for (const json& other : object["optimizer"]["tensors"]) EXPECT_NE(tensor["name"], other["name"]);
}

TEST_F(TokenModel, InspectComparesConfigsAndWeights) {
  expect_done(train({"run.folder=run2", "learning.rule=furthest", "learning.horizon=2", "run.seed=5"}));
  const CommandResult result = interlock({"inspect", "run", "--against", "run2", "--json"});
  expect_done(result);
  const json object = last_object(result);
  EXPECT_EQ(object["rule"], "global");
  EXPECT_GT(object["max_abs_difference"], 0);
  std::map<std::string, std::pair<std::string, std::string>> differences;
  for (const json& one : object["config_differences"])
    differences[one["key"]] = {one["here"].dump(), one["other"].dump()};
  EXPECT_EQ(differences.size(), 3U + (differences.contains("learning.horizon") ? 1U : 0U))
      << object["config_differences"].dump();
  EXPECT_THAT(differences["learning.rule"].first, HasSubstr("global"));
  EXPECT_THAT(differences["learning.rule"].second, HasSubstr("furthest"));
  EXPECT_EQ(differences["run.seed"], std::pair(std::string("\"1\""), std::string("\"5\"")));
  EXPECT_TRUE(differences.contains("run.folder"));
}

TEST_F(TokenModel, InspectTakesFilesThatSayNothingOfARun) {
  change_stored(path("run/weights.safetensors"), [](StoredFile& f) { f.metadata.clear(); });
  const CommandResult result = interlock({"inspect", "run", "--json"});
  expect_done(result);
  EXPECT_TRUE(last_object(result)["step"].is_null());
  EXPECT_TRUE(last_object(result)["rule"].is_null());
  change_stored(path("run/weights.safetensors"), [](StoredFile& f) { f.metadata["interlock.config"] = "[run"; });
  const CommandResult other = interlock({"inspect", "run"});
  expect_done(other);
  EXPECT_THAT(other.output, HasSubstr("no TOML"));
}

}  // namespace
}  // namespace interlock
