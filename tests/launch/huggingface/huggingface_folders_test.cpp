// Hugging Face folders where weights are asked for, encoders alone, and what RobertaConfig takes by default.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/launch/huggingface/exported_project.h"

namespace interlock {
namespace {

using nlohmann::json;
using testing::HasSubstr;

// RobertaConfig's own defaults, which RoBERTa does not have.
TEST_F(HuggingFace, DefaultsOfRobertaConfigComeInAndGoOut) {
  const Words other{"model.layer_norm_epsilon=1e-12", "model.token_types=2"};
  train_model(other);
  export_model();
  json config = json::parse(read("hf/config.json"));
  EXPECT_EQ(config["layer_norm_eps"], 1e-12);
  EXPECT_EQ(config["type_vocab_size"], 2);
  config.erase("layer_norm_eps");
  config.erase("type_vocab_size");
  write("hf/config.json", config.dump());  // transformers take the defaults
  expect_done(import_model());
  EXPECT_EQ(inspect("in")["digest"], inspect("run")["digest"]);
  export_model("in", "again");
  EXPECT_EQ(json::parse(read("again/config.json"))["layer_norm_eps"], 1e-12);
  EXPECT_EQ(json::parse(read("again/config.json"))["type_vocab_size"], 2);
  const auto loss = [&](const std::string& path) {
    const CommandResult result = interlock({"evaluate", path, "--data", "all", "--json"});
    expect_done(result);
    return last_object(result)["loss"];
  };
  EXPECT_EQ(loss("in"), loss("run"));
}

// Wherever weights are asked for; nobody has to import first.
TEST_F(HuggingFace, AFolderIsTakenAsItLies) {
  for (const std::string tied : {"false", "true"}) {
    const std::string run = "run-" + tied, folder = "hf-" + tied;
    train_model({"model.tie_embeddings=" + tied, "run.folder=" + run});
    export_model(run, folder);
    EXPECT_EQ(inspect(folder)["digest"], inspect(run)["digest"]);
    const Words asked{"alpha <mask> gamma", "--json"};
    EXPECT_EQ(last_object(interlock({"fill", folder, asked[0], asked[1]})),
              last_object(interlock({"fill", run, asked[0], asked[1]})));
    EXPECT_EQ(last_object(interlock({"evaluate", folder, "--data", "all", "--json"}))["loss"],
              last_object(interlock({"evaluate", run, "--data", "all", "--json"}))["loss"]);
    train_model({"model.tie_embeddings=" + tied, "run.folder=next-" + tied, "run.weights=" + folder, "run.steps=0"});
    EXPECT_EQ(inspect("next-" + tied)["digest"], inspect(run)["digest"]);
  }
}

// RobertaModel: names without "roberta.", a pooler, and no readout. What there is comes in bit for bit.
TEST_F(HuggingFace, AnEncoderAloneGetsAFreshReadout) {
  train_model();
  export_model();
  change_config([](json& config) { config["architectures"] = {"RobertaModel"}; });
  change_stored(path("hf/model.safetensors"), [](StoredFile& file) {
    StoredFile encoder{file.metadata, {}};
    for (auto& [name, tensor] : file.tensors)
      if (name.starts_with("roberta.")) encoder.tensors[name.substr(8)] = tensor;
    encoder.tensors["pooler.dense.weight"] = file.tensors.at("lm_head.dense.weight");
    file = encoder;
  });
  const CommandResult result = import_model();
  expect_done(result);
  EXPECT_THAT(result.output, HasSubstr("encoder alone"));
  EXPECT_THAT(result.output, HasSubstr("lm_head.dense.weight"));
  const StoredFile ours = read_stored(path("in/weights.safetensors")),
                   theirs = read_stored(path("run/weights.safetensors"));
  for (const auto& [name, tensor] : theirs.tensors) {
    ASSERT_TRUE(ours.tensors.contains(name)) << name;
    EXPECT_EQ(ours.tensors.at(name).bytes == tensor.bytes, name.starts_with("roberta.")) << name;
  }
  const CommandResult asked = interlock({"fill", "in", "alpha <mask> gamma", "--json"});
  expect_done(asked);
  // As it lies, too: the same fresh values, and a warning.
  const CommandResult direct = interlock({"fill", "hf", "alpha <mask> gamma", "--json"});
  expect_done(direct);
  EXPECT_EQ(last_object(direct), last_object(asked));
  EXPECT_THAT(direct.errors, HasSubstr("encoder alone"));
}

}  // namespace
}  // namespace interlock
