// `export` and `import`: what a person gets, round trips, and what is refused.
#include <gmock/gmock.h>

#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

#include "tests/launch/huggingface/exported_project.h"

namespace interlock {
namespace {

using nlohmann::json;
using testing::Contains;
using testing::HasSubstr;
using testing::IsSupersetOf;
using testing::Key;
using testing::Not;

TEST_F(HuggingFace, AnExportHoldsWhatTransformersRead) {
  train_model();
  export_model();
  const auto all = files("hf");
  for (const char* name : {"hf/config.json", "hf/model.safetensors", "hf/tokenizer.json", "hf/vocab.json",
                           "hf/merges.txt", "hf/tokenizer_config.json", "hf/special_tokens_map.json"})
    EXPECT_THAT(all, Contains(Key(name)));
  EXPECT_EQ(all.size(), 7U);
  const CommandResult verified = interlock({"verify", "hf"});
  expect_done(verified);
  EXPECT_THAT(verified.output, HasSubstr("hf/model.safetensors"));
  const json config = json::parse(all.at("hf/config.json"));
  const json expected = {{"architectures", {"RobertaForMaskedLM"}},
                         {"model_type", "roberta"},
                         {"vocab_size", 280},
                         {"hidden_size", 16},
                         {"num_hidden_layers", 4},
                         {"num_attention_heads", 2},
                         {"intermediate_size", 32},
                         {"hidden_act", "gelu"},
                         {"max_position_embeddings", 34},
                         {"type_vocab_size", 1},
                         {"layer_norm_eps", 1e-5},
                         {"tie_word_embeddings", false},
                         {"torch_dtype", "float32"},
                         {"dtype", "float32"},
                         {"pad_token_id", 1},
                         {"bos_token_id", 0},
                         {"eos_token_id", 2}};
  for (const auto& [key, value] : expected.items()) EXPECT_EQ(config[key], value) << key;
  const StoredFile weights = read_stored(path("hf/model.safetensors"));
  EXPECT_EQ(weights.metadata.at("format"), "pt");
  EXPECT_EQ(weights.tensors.size(), 5U + 4U * 16U + 7U);
  EXPECT_EQ(weights.tensors.at("lm_head.decoder.bias").bytes, weights.tensors.at("lm_head.bias").bytes);
  EXPECT_EQ(weights.tensors.at("roberta.embeddings.position_embeddings.weight").entry.shape,
            (std::vector<int64_t>{34, 16}));
}

// tokenizer_config.json overrules tokenizer.json where transformers open the folder: both must say the same.
TEST_F(HuggingFace, TokenizerFilesAgree) {
  json file = json::parse(read("tokenizer/tokenizer.json"));
  for (const bool odd : {false, true}) {
    for (json& token : file["added_tokens"])
      if (token["content"] == "<mask>") token["lstrip"] = !odd, token["rstrip"] = odd;
    file["pre_tokenizer"]["add_prefix_space"] = odd;
    const std::string name = odd ? "odd" : "usual";
    write(name + "/tokenizer.json", file.dump());
    expect_done(interlock({"tokenize", "encode", "--tokenizer", name, "--input", "corpus", "--output", name + "-all"}));
    expect_done(train(
        {"tokenizer.path=" + name, "data.paths=['" + name + "-all']", "run.steps=0", "run.folder=" + name + "-run"}));
    export_model(name + "-run", name + "-hf");
    const json config = json::parse(read(name + "-hf/tokenizer_config.json"));
    const json map = json::parse(read(name + "-hf/special_tokens_map.json"));
    EXPECT_EQ(config["add_prefix_space"], odd);
    for (const json& mask : {config["mask_token"], map["mask_token"]}) {
      EXPECT_EQ(mask["content"], "<mask>");
      EXPECT_EQ(mask["lstrip"], !odd);
      EXPECT_EQ(mask["rstrip"], odd);
      EXPECT_EQ(mask["single_word"], false);
    }
    EXPECT_EQ(map["bos_token"], "<s>");
  }
}

TEST_F(HuggingFace, ThereAndBackNothingChanges) {
  for (const std::string tied : {"false", "true"}) {
    train_model({"model.tie_embeddings=" + tied, "run.folder=run-" + tied});
    export_model("run-" + tied, "hf-" + tied);
    expect_done(interlock({"import", "hf-" + tied, "--to", "in-" + tied}));
    EXPECT_EQ(inspect("in-" + tied)["digest"], inspect("run-" + tied)["digest"]) << tied;
    export_model("in-" + tied, "again-" + tied);
    for (const auto& [name, content] : files("hf-" + tied))
      EXPECT_TRUE(read("again" + name.substr(2)) == content) << name;
    const StoredFile weights = read_stored(path("hf-" + tied + "/model.safetensors"));
    EXPECT_EQ(weights.tensors.contains("lm_head.decoder.weight"), tied == "false");
    const Words text{"alpha <mask> gamma", "--json"};
    EXPECT_EQ(last_object(interlock({"fill", "run-" + tied, text[0], text[1]})),
              last_object(interlock({"fill", "in-" + tied, text[0], text[1]})));
  }
}

TEST_F(HuggingFace, ValuesThatAreNoNumbersAreTold) {
  train_model();
  export_model();
  change_stored(path("hf/model.safetensors"), [](StoredFile& file) {
    const float infinity = std::numeric_limits<float>::infinity();
    std::memcpy(file.tensors.at("lm_head.bias").bytes.data(), &infinity, sizeof infinity);
  });
  const CommandResult imported = import_model();
  expect_done(imported);
  EXPECT_THAT(imported.errors, HasSubstr("not all values are finite numbers (nan or infinity)"));
  EXPECT_THAT(imported.errors, HasSubstr("lm_head.bias"));
}

// Of tensors that are one in memory a file holds one, by either name. `save_model` of the library safetensors keeps the
// name that sorts first and says in the metadata for which it stands.
TEST_F(HuggingFace, OfTiedTensorsEitherNameIsTaken) {
  train_model({"model.tie_embeddings=true"});
  export_model();
  const std::string model = path("hf/model.safetensors");
  const StoredFile whole = read_stored(model);
  const std::string table = "roberta.embeddings.word_embeddings.weight", decoder = "lm_head.decoder.weight";
  const auto digest_with = [&](const std::function<void(StoredFile&)>& change) {
    write_stored(model, whole);
    change_stored(model, change);
    expect_done(import_model({"--overwrite"}));
    return inspect("in")["digest"];
  };
  const auto rename = [](StoredFile& file, const std::string& from, const std::string& to) {
    file.tensors[to] = file.tensors.at(from);
    file.tensors.erase(from);
  };
  const json digest = digest_with([](StoredFile&) {});
  EXPECT_EQ(digest, inspect("run")["digest"]);
  EXPECT_EQ(digest_with([&](StoredFile& file) { rename(file, table, decoder); }), digest);
  EXPECT_EQ(digest_with([&](StoredFile& file) { rename(file, "lm_head.bias", "lm_head.decoder.bias"); }), digest);
  EXPECT_EQ(digest_with([&](StoredFile& file) { file.tensors[decoder] = file.tensors.at(table); }), digest);
  // Any other tensor that was left out for another of the same values.
  EXPECT_EQ(digest_with([&](StoredFile& file) {
              rename(file, table, "some.other.name");
              file.metadata[table] = "some.other.name";
            }),
            digest);
  write_stored(model, whole);
  change_stored(model, [&](StoredFile& file) {
    file.tensors[decoder] = file.tensors.at(table);
    file.tensors[decoder].bytes[0] ^= 1;
  });
  expect_failure(import_model({"--overwrite"}), 65, {decoder + " differs from " + table});
  write_stored(model, whole);
  change_stored(model, [&](StoredFile& file) { file.tensors.erase(table); });
  expect_failure(import_model({"--overwrite"}), 65, {"tensors are missing: " + table});
}

// What is imported trains on as it is: only where the data lies has to be said.
TEST_F(HuggingFace, AnImportHasAConfig) {
  train_model();
  export_model();
  expect_done(import_model());
  expect_done(interlock({"plan", "in/config.toml"}));
  EXPECT_THAT(read("in/config.toml"), AllOf(HasSubstr("dropout = 0"), Not(HasSubstr("0000000"))))
      << "0.1, not 17 digits";
  // The folder is no run: nothing is to go on in it, and nothing to write over its weights.
  const auto imported = files("in");
  expect_failure(interlock({"train", "in"}), 64, {"no run has begun in it", "in/config.toml"});
  expect_failure(interlock({"train", "in", "--resume"}), 64, {"no run has begun in it"});
  expect_failure(interlock({"train", "in/config.toml", "--resume", "--set", "run.folder='in'", "--set",
                            "data.paths=['all']", "--set", "data.held_out=0.3"}),
                 64, {"lies in run.folder"});
  EXPECT_EQ(files("in"), imported);
  expect_failure(interlock({"train", "in/config.toml"}), 65, {"data.paths", "tokens/train"});
  const Words with_data{"--set", "data.paths=['all']", "--set", "data.held_out=0.3", "--set", "run.evaluate_every=0"};
  Words start{"train", "in/config.toml", "--set", "run.steps=0", "--json"},
      more{"train", "in/config.toml", "--set", "run.steps=2", "--set", "run.folder='more'"};
  start.insert(start.end(), with_data.begin(), with_data.end());
  more.insert(more.end(), with_data.begin(), with_data.end());
  const CommandResult started = interlock(start);
  expect_done(started);
  EXPECT_EQ(last_object(started)["digest"], inspect("in")["digest"]);
  EXPECT_EQ(last_object(started)["run"], "runs/in");
  expect_done(interlock(more));
}

TEST_F(HuggingFace, OnlyTheModelItselfIsExported) {
  train_model({"learning.rule=local", "learning.head=block"});
  const CommandResult result = interlock({"export", "run", "--to", "hf"});
  expect_done(result);
  EXPECT_THAT(result.output, HasSubstr("Left out"));
  EXPECT_THAT(result.output, HasSubstr("local heads"));
  for (const auto& [name, tensor] : read_stored(path("hf/model.safetensors")).tensors)
    EXPECT_FALSE(name.starts_with("heads.")) << name;
}

TEST_F(HuggingFace, ACheckpointExportsAsItsRunDoes) {
  train_model();
  export_model();
  export_model("run/checkpoints/step-00000002", "hf2");
  EXPECT_EQ(files("hf").size(), files("hf2").size());
  for (const auto& [name, content] : files("hf")) EXPECT_TRUE(read("hf2" + name.substr(2)) == content) << name;
}

TEST_F(HuggingFace, FoldersThatAreThereAreKept) {
  train_model();
  export_model();
  const auto before = files("hf");
  expect_failure(interlock({"export", "run", "--to", "hf"}), 73, {"hf", "exists already", "--overwrite"});
  expect_done(interlock({"export", "run", "--to", "hf/", "--overwrite"}));
  EXPECT_EQ(files("hf"), before);
  write("hf/notes.txt", "mine");
  expect_failure(interlock({"export", "run", "--to", "hf", "--overwrite"}), 73, {"notes.txt"});
  expect_failure(interlock({"export", "run", "--to", "config.toml"}), 73, {"config.toml", "not a folder"});
  expect_failure(interlock({"import", "hf", "--to", "run", "--overwrite"}), 73, {"run", "would remove"});
  EXPECT_EQ(read("hf/notes.txt"), "mine");
  for (const auto& entry : std::filesystem::directory_iterator(path()))
    EXPECT_THAT(entry.path().filename().string(), Not(HasSubstr(".tmp")));
}

TEST_F(HuggingFace, ShardsAreOneModel) {
  train_model();
  export_model();
  StoredFile whole = read_stored(path("hf/model.safetensors"));
  StoredFile parts[2];
  json map = json::object();
  size_t number = 0;
  for (const auto& [name, tensor] : whole.tensors) {
    const size_t part = number++ % 2;
    parts[part].tensors[name] = tensor;
    map[name] = "model-0000" + std::to_string(part + 1) + "-of-00002.safetensors";
  }
  std::filesystem::remove(path("hf/model.safetensors"));
  for (size_t part = 0; part < 2; ++part)
    write_stored(path("hf/model-0000" + std::to_string(part + 1) + "-of-00002.safetensors"), parts[part]);
  const auto write_index = [&] {
    write("hf/model.safetensors.index.json", json{{"metadata", {{"total_size", 1}}}, {"weight_map", map}}.dump());
  };
  write_index();
  expect_done(import_model());
  EXPECT_EQ(inspect("in")["digest"], inspect("run")["digest"]);

  const std::string moved = map["lm_head.bias"];
  map["lm_head.bias"] = moved == "model-00001-of-00002.safetensors" ? "model-00002-of-00002.safetensors"
                                                                    : "model-00001-of-00002.safetensors";
  write_index();
  expect_failure(interlock({"import", "hf", "--to", "in2"}), 65, {"lm_head.bias", "is not in"});
  map["lm_head.bias"] = "../run/weights.safetensors";
  write_index();
  expect_failure(interlock({"import", "hf", "--to", "in2"}), 65, {"../run/weights.safetensors", "without folders"});
  write("hf/model.safetensors.index.json", R"({"weight_map": []})");
  expect_failure(interlock({"import", "hf", "--to", "in2"}), 65, {"weight_map"});
}

TEST_F(HuggingFace, ConfigsOfOthersAreRefusedByName) {
  train_model();
  export_model();
  const std::string good = read("hf/config.json");
  const auto refused = [&](const std::function<void(json&)>& change, const Words& words) {
    write("hf/config.json", good);
    change_config(change);
    expect_failure(import_model(), 65, words);
    EXPECT_FALSE(std::filesystem::exists(path("in")));
  };
  refused([](json& c) { c["model_type"] = "bert"; }, {"config.json", "unknown architecture", "bert", "roberta"});
  refused([](json& c) { c["architectures"] = {"RobertaForTokenClassification"}; },
          {"unknown architecture", "RobertaForTokenClassification", "RobertaForMaskedLM",
           "RobertaForSequenceClassification"});
  refused([](json& c) { c["architectures"] = {"RobertaForSequenceClassification"}; },
          {"tensors are missing", "classifier.dense.weight"});
  refused([](json& c) { c["hidden_act"] = "gelu_new"; }, {"hidden_act", "gelu_new", "\"gelu\""});
  refused([](json& c) { c["type_vocab_size"] = 2; }, {"token_type_embeddings.weight", "[1, 16]", "[2, 16]"});
  refused([](json& c) { c["position_embedding_type"] = "relative_key"; }, {"position_embedding_type", "absolute"});
  refused([](json& c) { c["layer_norm_eps"] = -1e-5; }, {"layer_norm_eps", "-1e-05", "above 0"});
  refused([](json& c) { c["layer_norm_eps"] = "small"; }, {"layer_norm_eps", "small"});
  refused([](json& c) { c["pad_token_id"] = 0; }, {"pad_token_id"});
  refused([](json& c) { c.erase("hidden_size"); }, {"has no \"hidden_size\""});
  refused([](json& c) { c["num_hidden_layers"] = "four"; }, {"num_hidden_layers", "four"});
  refused([](json& c) { c["num_attention_heads"] = 3; }, {"hidden_size", "num_attention_heads"});
  refused([](json& c) { c["num_hidden_layers"] = 5; }, {"missing", "roberta.encoder.layer.4."});
  refused([](json& c) { c["num_hidden_layers"] = 3; }, {"does not have", "roberta.encoder.layer.3."});
  refused([](json& c) { c["intermediate_size"] = 64; }, {"intermediate.dense.weight", "[32, 16]", "[64, 16]"});
  refused([](json& c) { c["vocab_size"] = 281; }, {"word_embeddings.weight", "[280, 16]", "[281, 16]"});
  write("hf/config.json", good.substr(0, 40));
  expect_failure(import_model(), 65, {"config.json"});
}

TEST_F(HuggingFace, WeightsThatDoNotFitAreRefusedByName) {
  train_model();
  export_model();
  const std::string file = path("hf/model.safetensors"), good = read("hf/model.safetensors");
  const auto refused = [&](const std::function<void(StoredFile&)>& change, const Words& words) {
    change_stored(file, change);
    expect_failure(import_model(), 65, words);
    write("hf/model.safetensors", good);
  };
  refused([](StoredFile& f) { f.tensors.erase("lm_head.dense.weight"); }, {"missing", "lm_head.dense.weight"});
  refused([](StoredFile& f) { f.tensors["classifier.weight"] = f.tensors["lm_head.bias"]; },
          {"does not have", "classifier.weight"});
  refused([](StoredFile& f) { f.tensors["lm_head.bias"].entry.dtype = "I32"; }, {"lm_head.bias", "I32", "F32"});
  // What old files hold besides.
  change_stored(file, [](StoredFile& f) {
    f.tensors["roberta.embeddings.position_ids"] = {{"", "I64", {1, 1}, 0, 0}, std::string(8, '\0')};
    f.tensors["roberta.pooler.dense.bias"] = f.tensors["lm_head.dense.bias"];
  });
  const CommandResult result = import_model();
  expect_done(result);
  EXPECT_THAT(result.output, HasSubstr("position_ids"));
  EXPECT_EQ(inspect("in")["digest"], inspect("run")["digest"]);
}

TEST_F(HuggingFace, TrainingStartsFromWhatWasImported) {
  for (const std::string tied : {"false", "true"}) {
    train_model({"model.tie_embeddings=" + tied, "run.folder=run-" + tied});
    export_model("run-" + tied, "hf-" + tied);
    expect_done(interlock({"import", "hf-" + tied, "--to", "in-" + tied}));
    train_model({"model.tie_embeddings=" + tied, "run.folder=next-" + tied, "run.weights=in-" + tied, "run.steps=0"});
    EXPECT_EQ(inspect("next-" + tied)["digest"], inspect("run-" + tied)["digest"]);
  }
}

TEST_F(HuggingFace, ATiedDecoderMustEqualTheTable) {
  train_model({"model.tie_embeddings=true"});
  export_model();
  const std::string file = path("hf/model.safetensors");
  change_stored(file, [](StoredFile& f) {
    f.tensors["lm_head.decoder.weight"] = f.tensors["roberta.embeddings.word_embeddings.weight"];
  });
  expect_done(import_model());
  EXPECT_EQ(inspect("in")["digest"], inspect("run")["digest"]);
  change_stored(file, [](StoredFile& f) { f.tensors["lm_head.decoder.weight"].bytes[0] ^= 1; });
  expect_failure(import_model({"--overwrite"}), 65, {"lm_head.decoder.weight", "word_embeddings", "tie"});
}

TEST_F(HuggingFace, PicklesAndOtherFoldersAreRefusedWithAReason) {
  train_model();
  export_model();
  std::filesystem::rename(path("hf/model.safetensors"), path("hf/pytorch_model.bin"));
  expect_failure(import_model(), 65, {"pytorch_model.bin", "pickle", "save_pretrained"});
  std::filesystem::remove(path("hf/pytorch_model.bin"));
  expect_failure(import_model(), 65, {"hf", "holds no model.safetensors"});
  std::filesystem::remove(path("hf/config.json"));
  expect_failure(import_model(), 65, {"hf", "holds no config.json"});
  expect_failure(interlock({"import", "nowhere", "--to", "in"}), 65, {"nowhere"});
  expect_failure(interlock({"export", "nowhere", "--to", "out"}), 65, {"nowhere"});
  write("mlp.toml",
        "[model]\nname = \"mlp\"\nlayers = 4\n[data]\nname = \"spirals\"\n[learning]\nrule = \"local\"\n"
        "[parallel]\ntransport = \"loopback\"\n[run]\nsteps = 1\nfolder = \"mlp\"\n");
  expect_done(interlock({"train", "mlp.toml"}));
  expect_failure(interlock({"export", "mlp", "--to", "out"}), 64, {"export", "spirals"});
}

TEST_F(HuggingFace, ATokenizerOfAnotherVocabularyIsRefused) {
  train_model();
  export_model();
  expect_done(interlock({"tokenize", "train", "--input", "corpus", "--vocabulary", "290", "--output", "other"}));
  std::filesystem::copy(path("other/tokenizer.json"), path("hf/tokenizer.json"),
                        std::filesystem::copy_options::overwrite_existing);
  expect_failure(import_model(), 65, {"another vocabulary", "290", "280"});
  // One without special tokens, as GPT-2's: fewer tokens, and other ids.
  std::filesystem::remove(path("hf/tokenizer.json"));
  json words = json::object();
  const json known = json::parse(read("tokenizer/vocab.json"));
  for (const auto& [word, id] : known.items())
    if (id >= 4 && id < 260) words[word] = id.get<int>() - 4;
  write("hf/vocab.json", words.dump());
  write("hf/merges.txt", "#version: 0.2\n");
  expect_failure(import_model(), 65, {"no tokenizer of a RoBERTa", "<mask>"});
}

}  // namespace
}  // namespace interlock
