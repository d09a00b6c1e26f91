// Our commands against transformers' RobertaForMaskedLM: log-probabilities of masked places through `import` and
// `fill`, the masked loss of padded samples through `evaluate`. Always on numbers that tests/golden/huggingface/make.py
// stored; and where a Python with transformers is found (INTERLOCK_PYTHON, else python3), on random models of several
// sizes, and the other way round on what `export` writes.
#include <gmock/gmock.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/launch/commands/token_project.h"
#include "tests/launch/huggingface/by_formula.h"
#include "tests/launch/huggingface/fills.h"
#include "tests/launch/huggingface/python.h"

namespace interlock {
namespace {

using nlohmann::json;

class Parity : public Fills<SmallProject> {
 protected:
  // Every place but <s> and </s> is masked, and no sample holds two documents.
  void compare(const std::string& model, const json& expected) const {
    expect_done(interlock({"import", model, "--to", "in"}));
    EXPECT_EQ(compare_fills("in", expected), 7U);
    change_stored(path("in/weights.safetensors"), [](StoredFile& file) {
      file.metadata["interlock.config"] +=
          "packing = \"doc_sentences\"\n[objective]\nmask_rate = 1.0\nmask_share = 1.0\nrandom_share = 0.0\n";
    });
    Words words{"evaluate", "in", "--json", "--data"};
    size_t number = 0;
    for (const json& document : expected["documents"]) {
      const std::string file = "document" + std::to_string(++number) + ".txt";
      write(file, document.get<std::string>());
      words.push_back(file);
    }
    const CommandResult result = interlock(words);
    expect_done(result);
    const json ours = last_object(result);
    EXPECT_NEAR(ours["loss"].get<double>(), expected["loss"].get<double>(), logit_bound);
    EXPECT_NEAR(ours["accuracy"].get<double>(), expected["accuracy"].get<double>(), 1e-8);  // stored with nine digits
    EXPECT_EQ(ours["targets"], expected["targets"]);
    EXPECT_EQ(ours["tokens"], expected["tokens"]);
  }
};

class GoldenParity : public Parity, public testing::WithParamInterface<const char*> {};

TEST_P(GoldenParity, NumbersOfTransformers) {
  const std::filesystem::path golden = INTERLOCK_GOLDEN "/huggingface";
  std::filesystem::create_directory(path("hf"));
  std::filesystem::copy(golden / "tokenizer.json", path("hf/tokenizer.json"));
  std::filesystem::copy(golden / GetParam() / "config.json", path("hf/config.json"));
  json expected, config;
  std::ifstream(golden / GetParam() / "expected.json") >> expected;
  std::ifstream(golden / GetParam() / "config.json") >> config;
  const bool tied = config.value("tie_word_embeddings", true);
  ASSERT_EQ(tied, GetParam() == std::string("tied"));
  const int64_t width = config["hidden_size"], words = config["vocab_size"];
  StoredFile file = encoder_by_formula(config);
  add_linear(file, "lm_head.dense", width, width);
  add_norm(file, "lm_head.layer_norm", width);
  if (!tied) add_linear(file, "lm_head.decoder", width, words);
  add_by_formula(file, "lm_head.bias", {words});
  write_stored(path("hf/model.safetensors"), file);
  compare("hf", expected);
}

class LiveParity : public Parity, public testing::WithParamInterface<int> {
 protected:
  void SetUp() override {
    if (python_with_transformers().empty())
      GTEST_SKIP() << "no Python with torch, transformers and tokenizers (INTERLOCK_PYTHON names one)";
  }
};

// Even: tied.
TEST_P(LiveParity, RandomModels) {
  const std::string script = INTERLOCK_GOLDEN "/huggingface/make.py", seed = std::to_string(GetParam());
  const CommandResult made =
      run_command({python_with_transformers(), script, "random", path("hf").string(), seed, seed}, patient());
  ASSERT_EQ(made.code, 0) << made.all;
  compare("hf", json::parse(read("hf/expected.json")));
  // And back: bit for bit, and open in transformers without a word about weights.
  expect_done(interlock({"import", "hf", "--to", "again"}));
  expect_done(interlock({"export", "again", "--to", "out"}));
  const StoredFile theirs = read_stored(path("hf/model.safetensors")),
                   ours = read_stored(path("out/model.safetensors"));
  // Before 5.0 they stored the decoder's bias under one of its two names.
  EXPECT_EQ(theirs.tensors.size() + (theirs.tensors.contains("lm_head.decoder.bias") ? 0 : 1),
            ours.tensors.size() + (ours.tensors.contains("lm_head.decoder.bias") ? 0 : 1));
  for (const auto& [name, tensor] : theirs.tensors) {
    ASSERT_TRUE(ours.tensors.contains(name)) << name;
    EXPECT_TRUE(ours.tensors.at(name).bytes == tensor.bytes) << name;
    EXPECT_EQ(ours.tensors.at(name).entry.shape, tensor.entry.shape) << name;
  }
  const CommandResult opened = run_command({python_with_transformers(), INTERLOCK_GOLDEN "/huggingface/open.py",
                                            path("out").string(), path("hf/expected.json").string()},
                                           patient());
  EXPECT_EQ(opened.code, 0) << opened.all;
}

class OwnModel : public Fills<TokenProject>, public testing::WithParamInterface<bool> {
 protected:
  void SetUp() override {
    if (python_with_transformers().empty())
      GTEST_SKIP() << "no Python with torch, transformers and tokenizers (INTERLOCK_PYTHON names one)";
    TokenProject::SetUp();
  }
};

// Tokenizer and weights both ours: transformers find the same ids, or these log-probabilities would not come out.
TEST_P(OwnModel, OpensThere) {
  expect_done(train({GetParam() ? "model.tie_embeddings=true" : "model.tie_embeddings=false", "run.steps=20",
                     "optimizer.learning_rate=0.01"}));
  expect_done(interlock({"export", "run", "--to", "hf"}));
  write("expected.json", expected_fills("run").dump());
  const CommandResult opened = run_command({python_with_transformers(), INTERLOCK_GOLDEN "/huggingface/open.py",
                                            path("hf").string(), path("expected.json").string()},
                                           patient());
  EXPECT_EQ(opened.code, 0) << opened.all;
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenParity, testing::Values("small", "tied", "larger", "epsilon"));
INSTANTIATE_TEST_SUITE_P(Tied, OwnModel, testing::Bool());
INSTANTIATE_TEST_SUITE_P(Sizes, LiveParity, testing::Values(0, 1, 2));

}  // namespace
}  // namespace interlock
