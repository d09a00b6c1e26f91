// GPT-2 folders, both ways: numbers of transformers that tests/golden/huggingface/gpt2.py stored, bytes of tensors
// there and back, files of the first release, and what is refused. Where a Python with transformers is found
// (INTERLOCK_PYTHON, else python3) it opens what `export` writes.
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
using testing::HasSubstr;
using testing::Not;

// Names and shapes written down once more, from the published layout: Conv1D is [inputs, outputs].
StoredFile gpt2_by_formula(const json& config) {
  const int64_t width = config["n_embd"], wide = config["n_inner"], words = config["vocab_size"];
  StoredFile file{{}, {}};
  add_by_formula(file, "transformer.wte.weight", {words, width});
  add_by_formula(file, "transformer.wpe.weight", {config["n_positions"], width});
  for (int layer = 0; layer < config["n_layer"]; ++layer) {
    const std::string block = "transformer.h." + std::to_string(layer) + ".";
    const auto conv1d = [&](const std::string& name, int64_t in, int64_t out) {
      add_by_formula(file, block + name + ".weight", {in, out});
      add_by_formula(file, block + name + ".bias", {out});
    };
    add_norm(file, block + "ln_1", width);
    conv1d("attn.c_attn", width, 3 * width);
    conv1d("attn.c_proj", width, width);
    add_norm(file, block + "ln_2", width);
    conv1d("mlp.c_fc", width, wide);
    conv1d("mlp.c_proj", wide, width);
  }
  add_norm(file, "transformer.ln_f", width);
  if (!config["tie_word_embeddings"].get<bool>()) add_by_formula(file, "lm_head.weight", {words, width});
  return file;
}

class Gpt2 : public SmallProject, public testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    const std::filesystem::path golden = INTERLOCK_GOLDEN "/huggingface";
    std::filesystem::create_directory(path("hf"));
    std::filesystem::copy(golden / "tokenizer.json", path("hf/tokenizer.json"));
    std::filesystem::copy(golden / GetParam() / "config.json", path("hf/config.json"));
    std::ifstream(golden / GetParam() / "expected.json") >> expected_;
    std::ifstream(golden / GetParam() / "config.json") >> config_;
    write_stored(path("hf/model.safetensors"), gpt2_by_formula(config_));
  }
  json expected_, config_;
};

TEST_P(Gpt2, NumbersOfTransformers) {
  expect_done(interlock({"import", "hf", "--to", "in"}));
  Words words{"evaluate", "in", "--json", "--data"};
  size_t number = 0;
  for (const json& document : expected_["documents"]) {
    write("document" + std::to_string(++number) + ".txt", document.get<std::string>());
    words.push_back("document" + std::to_string(number) + ".txt");
  }
  const CommandResult result = interlock(words);
  expect_done(result);
  const json ours = last_object(result);
  // Weights of 0.1 and inner products of up to 48 of them in float32; the bound is the one that users are promised.
  EXPECT_NEAR(ours["loss"].get<double>(), expected_["loss"].get<double>(), 1e-4);
  EXPECT_NEAR(ours["bits_per_byte"].get<double>(), expected_["bits_per_byte"].get<double>(), 1e-4);
  EXPECT_EQ(ours["targets"], expected_["targets"]);
  for (size_t i = 0; i < expected_["prompts"].size(); ++i) {
    const CommandResult continued = interlock({"generate", "in", expected_["prompts"][i].get<std::string>(), "--tokens",
                                               "8", "--temperature", "0", "--json"});
    expect_done(continued);
    EXPECT_EQ(last_object(continued)["tokens"], expected_["continued"][i]);
  }
}

TEST_P(Gpt2, ThereAndBackChangesNoBit) {
  expect_done(interlock({"import", "hf", "--to", "in"}));
  expect_done(interlock({"export", "in", "--to", "out"}));
  const StoredFile theirs = read_stored(path("hf/model.safetensors")),
                   ours = read_stored(path("out/model.safetensors"));
  ASSERT_EQ(theirs.tensors.size(), ours.tensors.size());
  for (const auto& [name, tensor] : theirs.tensors) {
    ASSERT_TRUE(ours.tensors.contains(name)) << name;
    EXPECT_TRUE(ours.tensors.at(name).bytes == tensor.bytes) << name;
    EXPECT_EQ(ours.tensors.at(name).entry.shape, tensor.entry.shape) << name;
  }
  const json config = json::parse(read("out/config.json"));
  for (const char* key : {"n_layer", "n_embd", "n_head", "n_inner", "n_positions", "vocab_size", "tie_word_embeddings",
                          "activation_function", "layer_norm_epsilon", "attn_pdrop", "embd_pdrop", "resid_pdrop",
                          "bos_token_id", "eos_token_id", "model_type"})
    EXPECT_EQ(config[key], config_[key]) << key;
  EXPECT_EQ(config["architectures"], json::array({"GPT2LMHeadModel"}));
}

// Trained with objective.document_mask, which config.json says by a key of ours.
TEST_P(Gpt2, ThatKeepsToDocumentsGoesOnDoingSo) {
  write("a.txt", "the first text\n");
  write("b.txt", "another one\n");
  const auto loss = [&] {
    expect_done(interlock({"import", "hf", "--to", "in", "--overwrite"}));
    const CommandResult result = interlock({"evaluate", "in", "--json", "--data", "a.txt", "b.txt"});
    expect_done(result);
    return last_object(result)["loss"].get<double>();
  };
  const double across = loss();
  EXPECT_THAT(read("in/config.toml"), Not(HasSubstr("document_mask")));
  config_["interlock_document_mask"] = true;
  write("hf/config.json", config_.dump());
  EXPECT_GT(std::abs(loss() - across), 1e-3);
  EXPECT_THAT(read("in/config.toml"), HasSubstr("document_mask = true"));
  const CommandResult exported = interlock({"export", "in", "--to", "out"});
  expect_done(exported);
  EXPECT_THAT(exported.output, HasSubstr("one document at a time"));
  EXPECT_EQ(json::parse(read("out/config.json"))["interlock_document_mask"], true);
}

// Without "transformer.", and with the causal mask as a buffer.
TEST_P(Gpt2, FilesOfTheFirstRelease) {
  expect_done(interlock({"import", "hf", "--to", "in"}));
  change_stored(path("hf/model.safetensors"), [](StoredFile& file) {
    std::map<std::string, StoredTensor> renamed;
    for (auto& [name, tensor] : file.tensors) {
      const std::string short_name = name.starts_with("transformer.") ? name.substr(12) : name;
      tensor.entry.name = short_name;
      renamed[short_name] = tensor;
    }
    renamed["h.0.attn.bias"] = by_formula("h.0.attn.bias", {1, 1, 24, 24});
    file.tensors = renamed;
  });
  expect_done(interlock({"import", "hf", "--to", "old"}));
  EXPECT_EQ(read("old/weights.safetensors"), read("in/weights.safetensors"));
}

TEST_P(Gpt2, WhatDoesNotFitIsRefused) {
  const std::string good = read("hf/model.safetensors"), config = read("hf/config.json");
  const auto import = [&] { return interlock({"import", "hf", "--to", "in", "--overwrite"}); };
  change_stored(path("hf/model.safetensors"), [](StoredFile& file) {
    file.tensors["transformer.h.1.mlp.c_fc.weight"] = by_formula("transformer.h.1.mlp.c_fc.weight", {48, 32});
  });
  expect_failure(import(), 65, {"transformer.h.1.mlp.c_fc.weight", "[48, 32]", "wrong way round", "[32, 48]"});
  write("hf/model.safetensors", good);
  change_stored(path("hf/model.safetensors"), [](StoredFile& file) { file.tensors.erase("transformer.ln_f.bias"); });
  expect_failure(import(), 65, {"missing", "transformer.ln_f.bias"});
  write("hf/model.safetensors", good);
  const auto with = [&](const std::string& key, const json& value) {
    json changed = json::parse(config);
    changed[key] = value;
    write("hf/config.json", changed.dump());
    return import();
  };
  expect_failure(with("activation_function", "relu"), 65, {"config.json", "activation_function", "gelu_new"});
  expect_failure(with("scale_attn_by_inverse_layer_idx", true), 65, {"scale_attn_by_inverse_layer_idx"});
  expect_failure(with("n_head", 5), 65, {"n_embd", "n_head"});
  expect_failure(with("architectures", {"GPT2ForSequenceClassification"}), 65, {"GPT2LMHeadModel"});
  // The body alone: its readout is the table of words, where the other has none of its own either.
  if (std::string(GetParam()) == "gpt2") expect_done(with("architectures", json::array({"GPT2Model"})));
  expect_failure(with("model_type", "llama"), 65, {"llama", "gpt2", "roberta"});
  expect_failure(with("vocab_size", 10), 65, {"[", "10"});
}

TEST_P(Gpt2, OpensThere) {
  if (python_with_transformers().empty())
    GTEST_SKIP() << "no Python with torch, transformers and tokenizers (INTERLOCK_PYTHON names one)";
  expect_done(interlock({"import", "hf", "--to", "in"}));
  expect_done(interlock({"export", "in", "--to", "out"}));
  const std::string script = INTERLOCK_GOLDEN "/huggingface/gpt2.py";
  const auto logits = [&](const std::string& folder) {
    const CommandResult result =
        run_command({python_with_transformers(), script, "open", path(folder).string()}, patient());
    EXPECT_EQ(result.code, 0) << result.all;
    return json::parse(result.output.substr(result.output.find('[')));
  };
  EXPECT_EQ(logits("out"), logits("hf"));
}

INSTANTIATE_TEST_SUITE_P(Models, Gpt2, testing::Values("gpt2", "gpt2-untied"),
                         [](const auto& model) { return model.param == std::string("gpt2") ? "tied" : "untied"; });

}  // namespace
}  // namespace interlock
