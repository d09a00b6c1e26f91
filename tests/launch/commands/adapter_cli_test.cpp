// What was added to a model, on its way to other libraries and back.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <tuple>

#include "tests/launch/commands/token_project.h"

namespace interlock {
namespace {

using nlohmann::json;
using testing::HasSubstr;

const std::string adapters = R"(technique=[{name = "adapters", size = 3, deviation = 0.3, train_norms = false}])";
const std::string lora = R"(technique=[{name = "lora", rank = 2, targets = ["query", "output.dense"]}])";
const std::string frozen_readout = "model.frozen=['lm_head.*', 'heads.*']";

class AdapterFolders : public SmallProject {
 protected:
  void SetUp() override {
    once("run", [&] { expect_done(train_threads({"run.steps=2"})); });
  }
  // A run that starts from the first one.
  void train_on(const std::string& technique, const Words& more = {}) {
    Words overrides{technique, "run.weights=run", "run.folder=on", "optimizer.learning_rate=0.01", frozen_readout};
    overrides.insert(overrides.end(), more.begin(), more.end());
    expect_done(train_threads(overrides));
  }
  double loss_of(const std::string& model) {
    const CommandResult result = interlock({"evaluate", model, "--data", "corpus", "--json"});
    expect_done(result);
    return last_object(result)["loss"];
  }
};

TEST_F(AdapterFolders, OfAdaptersGoToAdapterHubAndBack) {
  train_on(adapters);
  const CommandResult exported = interlock({"export", "on", "--adapter", "--to", "adapter"});
  expect_done(exported);
  EXPECT_THAT(exported.output, HasSubstr("32 tensors"));  // 4 layers, 2 bottlenecks each of 2 matrices and 2 biases
  const json config = json::parse(read("adapter/adapter_config.json"));
  EXPECT_EQ(config["name"], "interlock");
  EXPECT_EQ(config["version"], "adapters.1.2.0");
  EXPECT_EQ(config["config"]["mh_adapter"], true);
  EXPECT_EQ(config["config"]["non_linearity"], "gelu");
  // Their library takes the width over this, rounded down, for the size.
  EXPECT_EQ(std::floor(16.0 / config["config"]["reduction_factor"].get<double>()), 3);
  expect_done(interlock({"import", "adapter", "--base", "run", "--to", "again"}));
  EXPECT_EQ(loss_of("again"), loss_of("on"));
  EXPECT_NE(loss_of("again"), loss_of("run"));
}

TEST_F(AdapterFolders, OfPfeiffersComeBackAsSuch) {
  train_on(
      R"(technique=[{name="adapters", variant="pfeiffer", size=4, deviation=0.3, layers=[1, 3], train_norms=false, )"
      R"(adapter_name="mine"}])");
  expect_done(interlock({"export", "on", "--adapter", "--to", "adapter"}));
  const json config = json::parse(read("adapter/adapter_config.json"));
  EXPECT_EQ(config["name"], "mine");
  EXPECT_EQ(config["config"]["leave_out"], json::parse("[0, 2]"));
  EXPECT_EQ(config["config"]["original_ln_before"], true);
  expect_done(interlock({"import", "adapter", "--base", "run", "--to", "again"}));
  EXPECT_EQ(loss_of("again"), loss_of("on"));
}

// Merged weights are sums rounded to float32 once: the loss moves by roundings.
TEST_F(AdapterFolders, OfUpdatesGoToPeftAndMerge) {
  train_on(lora);
  expect_done(interlock({"export", "on", "--adapter", "--to", "peft"}));
  const json config = json::parse(read("peft/adapter_config.json"));
  EXPECT_EQ(config["peft_type"], "LORA");
  EXPECT_EQ(config["r"], 2);
  EXPECT_THAT(read("peft/adapter_model.safetensors"),
              HasSubstr("base_model.model.roberta.encoder.layer.0.attention.self.query.lora_A.weight"));
  expect_done(interlock({"import", "peft", "--base", "run", "--to", "again"}));
  EXPECT_EQ(loss_of("again"), loss_of("on"));
  expect_done(interlock({"export", "on", "--to", "merged"}));
  EXPECT_THAT(read("merged/model.safetensors"), testing::Not(HasSubstr("lora")));
  EXPECT_NE(loss_of("on"), loss_of("run"));
}

// An expression, or numbers of layers, choose modules in PEFT; the tensors tell which.
TEST_F(AdapterFolders, UpdatesOfModulesThatAnExpressionChose) {
  train_on(R"(technique=[{name="lora", rank=2, targets=["layer.1.attention.self.query", "layer.1.output.dense"]}])");
  expect_done(interlock({"export", "on", "--adapter", "--to", "peft"}));
  const json plain = json::parse(read("peft/adapter_config.json"));
  json by_expression = plain, by_number = plain;
  by_expression["target_modules"] = R"(.*layer\.1\.(attention\.self\.query|output\.dense))";
  by_number["target_modules"] = {"query", "output.dense"};
  by_number["layers_to_transform"] = 1;
  for (const json& config : {by_expression, by_number}) {
    write("peft/adapter_config.json", config.dump());
    expect_done(interlock({"import", "peft", "--base", "run", "--to", "again", "--overwrite"}));
    EXPECT_EQ(loss_of("again"), loss_of("on"));
  }
}

// The readout trains beside it, and is another one than the base's.
TEST_F(AdapterFolders, TheReadoutGoesAlong) {
  for (const auto& [technique, file, said] :
       {std::tuple{lora, "adapter/adapter_model.safetensors", "base_model.model.lm_head.dense.weight"},
        std::tuple{adapters, "adapter/model_head.safetensors", "lm_head.dense.weight"}}) {
    SCOPED_TRACE(technique);
    for (const char* folder : {"on", "adapter", "again"}) std::filesystem::remove_all(path(folder));
    expect_done(
        train_threads({technique, "run.weights=run", "run.folder=on", "optimizer.learning_rate=0.01", "run.steps=3"}));
    const CommandResult exported = interlock({"export", "on", "--adapter", "--to", "adapter"});
    expect_done(exported);
    EXPECT_THAT(exported.output, testing::Not(HasSubstr("Left out")));
    EXPECT_THAT(read(file), HasSubstr(said));
    const CommandResult imported = interlock({"import", "adapter", "--base", "run", "--to", "again"});
    expect_done(imported);
    EXPECT_THAT(imported.output, HasSubstr("its readout among them"));
    EXPECT_EQ(loss_of("again"), loss_of("on"));
  }
  json head = json::parse(read("adapter/head_config.json"));
  EXPECT_EQ(head["model_class"], "RobertaForMaskedLM");
  head["model_class"] = "RobertaForMultipleChoice";
  write("adapter/head_config.json", head.dump());
  expect_failure(interlock({"import", "adapter", "--base", "run", "--to", "x"}), 65,
                 {"head_config.json", "RobertaForMultipleChoice", "RobertaForSequenceClassification"});
  std::filesystem::remove(path("adapter/model_head.safetensors"));
  head["model_class"] = "RobertaForMaskedLM";
  write("adapter/head_config.json", head.dump());
  expect_failure(interlock({"import", "adapter", "--base", "run", "--to", "x"}), 65, {"model_head.safetensors"});
}

// Of an untied decoder's bias transformers keep two tensors and train the decoder's own; the other stays the base's.
TEST_F(AdapterFolders, OfTheReadoutsBiasTheDecodersOwnIsTaken) {
  expect_done(train_threads({lora, "run.weights=run", "run.folder=on", "optimizer.learning_rate=0.01", "run.steps=3"}));
  expect_done(interlock({"export", "on", "--adapter", "--to", "peft"}));
  change_stored(path("peft/adapter_model.safetensors").string(), [](StoredFile& file) {
    std::string& bias = file.tensors.at("base_model.model.lm_head.bias").bytes;
    ASSERT_EQ(bias, file.tensors.at("base_model.model.lm_head.decoder.bias").bytes);
    bias.assign(bias.size(), '\0');
  });
  expect_done(interlock({"import", "peft", "--base", "run", "--to", "again"}));
  EXPECT_EQ(loss_of("again"), loss_of("on"));
}

// The final norm of a pre-norm model trains with the readout.
TEST_F(AdapterFolders, TheNormBelowAReadoutGoesAlong) {
  const std::string pre = "model.norm=pre";
  expect_done(train_threads({pre, "run.steps=2", "run.folder=base"}));
  expect_done(
      train_threads({pre, lora, "run.weights=base", "run.folder=on", "optimizer.learning_rate=0.05", "run.steps=4"}));
  expect_done(interlock({"export", "on", "--adapter", "--to", "adapter"}));
  EXPECT_THAT(json::parse(read("adapter/adapter_config.json"))["modules_to_save"],
              testing::UnorderedElementsAre("lm_head", "roberta_prelayernorm.LayerNorm"));
  expect_done(interlock({"import", "adapter", "--base", "base", "--to", "again"}));
  EXPECT_EQ(loss_of("again"), loss_of("on"));
}

// Options of PEFT that say that an update is another than B A alpha / r.
TEST_F(AdapterFolders, UpdatesOfAnotherKindAreRefused) {
  train_on(lora);
  expect_done(interlock({"export", "on", "--adapter", "--to", "peft"}));
  const json plain = json::parse(read("peft/adapter_config.json"));
  for (const auto& [key, value] : std::map<std::string, json>{{"alpha_pattern", {{"query", 32}}},
                                                              {"rank_pattern", {{"query", 4}}},
                                                              {"use_dora", true},
                                                              {"lora_bias", true},
                                                              {"init_lora_weights", "pissa"},
                                                              {"layers_to_transform", json::array({0, 1})},
                                                              {"exclude_modules", json::array({"query"})},
                                                              {"r", 99},
                                                              {"lora_alpha", "x"},
                                                              {"lora_dropout", json::array({1})},
                                                              {"target_modules", json::array({1, 2})},
                                                              {"layer_replication", json::array({{0, 2}, {1, 4}})}}) {
    json changed = plain;
    changed[key] = value;
    write("peft/adapter_config.json", changed.dump());
    expect_failure(interlock({"import", "peft", "--base", "run", "--to", "x"}), 65,
                   {"adapter_config.json", '"' + key + '"'});
  }
  // Found out when both are together: the folder is named that was given, and none is left.
  json fewer = plain;
  fewer["target_modules"].push_back("intermediate.dense");
  write("peft/adapter_config.json", fewer.dump());
  expect_failure(interlock({"import", "peft", "--base", "run", "--to", "x"}), 65,
                 {"peft does not fit run", "intermediate.dense.lora_A.weight"});
  EXPECT_FALSE(std::filesystem::exists(path("x")));
}

// Without what was added it would be another model.
TEST_F(AdapterFolders, WhatWasAddedIsNotLeftOutWithoutAWord) {
  train_on(lora);
  expect_failure(train_threads({"run.weights=on", "run.folder=plain"}), 64, {"run.weights", "lora", "another model"});
  EXPECT_FALSE(std::filesystem::exists(path("plain")));
  expect_done(train_threads({"run.weights=on", "run.folder=more", lora}));
}

TEST_F(AdapterFolders, WhatDoesNotFitIsRefused) {
  expect_failure(interlock({"export", "run", "--adapter", "--to", "x"}), 64,
                 {"--adapter", "neither adapters nor lora"});
  train_on(adapters);
  expect_failure(interlock({"export", "on", "--to", "x"}), 64, {"holds adapters", "--adapter"});
  expect_done(interlock({"export", "on", "--adapter", "--to", "adapter"}));
  expect_failure(interlock({"import", "adapter", "--to", "x"}), 64, {"--base"});
  expect_done(train_threads({"run.folder=other", "run.seed=2", "run.steps=1"}));
  expect_failure(interlock({"import", "adapter", "--base", "other", "--to", "x"}), 65, {"another model", "other"});
  expect_done(train_threads({"run.folder=wide", "model.width=32", "run.steps=1"}));
  expect_failure(interlock({"import", "adapter", "--base", "wide", "--to", "x"}), 65, {"width 16", "32"});
  expect_done(
      train_threads({"run.folder=low", "model.layers=2", "parallel.stages=2", "parallel.ranks=2", "run.steps=1"}));
  expect_failure(interlock({"import", "adapter", "--base", "low", "--to", "x"}), 65, {"layer 2", "0 to 1"});
  json config = json::parse(read("adapter/adapter_config.json"));
  config["config"]["is_parallel"] = true;
  write("adapter/adapter_config.json", config.dump());
  expect_failure(interlock({"import", "adapter", "--base", "run", "--to", "x"}), 65,
                 {"adapter_config.json", "is_parallel"});
  EXPECT_FALSE(std::filesystem::exists(path("x")));
}

// A checkpoint of what was trained alone needs the model that it was trained on: that very one, where it was.
TEST_F(AdapterFolders, ACheckpointNamesTheModelItNeeds) {
  const Words on{adapters, "run.weights=run", "run.folder=on", frozen_readout, "checkpoint.every=2"};
  expect_done(train_threads(on, {"--until", "2"}));
  std::filesystem::rename(path("run"), path("kept"));
  expect_failure(train_threads(on, {"--resume"}), 65, {"holds only what was trained", "put them there"});
  expect_done(train_threads({"run.seed=2", "run.steps=1"}));
  expect_failure(train_threads(on, {"--resume"}), 65, {"holds only what was trained", "another model"});
  std::filesystem::remove_all(path("run"));
  std::filesystem::rename(path("kept"), path("run"));
  expect_done(train_threads(on, {"--resume"}));
}

// The plan says beforehand what trains.
TEST_F(AdapterFolders, ThePlanCountsWhatTrains) {
  const auto plan = [&](const Words& overrides) {
    Words words{"plan", "config.toml", "--json"};
    for (const std::string& one : overrides) words.insert(words.end(), {"--set", one});
    const CommandResult result = interlock(words);
    expect_done(result);
    return last_object(result);
  };
  const json all = plan({}), some = plan({adapters, "model.frozen=['lm_head.*']"});
  EXPECT_EQ(all["trained_parameters"], all["parameters"]);
  const int64_t added = 4 * 2 * (2 * 16 * 3 + 3 + 16);
  EXPECT_EQ(some["trained_parameters"], added);
  EXPECT_EQ(some["parameters"].get<int64_t>(), all["parameters"].get<int64_t>() + added);
}

}  // namespace
}  // namespace interlock
