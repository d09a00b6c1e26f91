// config.json, both ways. Keys as transformers' RobertaConfig has them.

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "launch/huggingface/config_reader.h"
#include "launch/huggingface/huggingface.h"
#include "runtime/core/config.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

using nlohmann::json;

// Two families that differ in where their norms stand.
std::string model_type(bool pre_norm) { return pre_norm ? "roberta-prelayernorm" : "roberta"; }
std::string family(bool pre_norm) { return pre_norm ? "RobertaPreLayerNorm" : "Roberta"; }
std::string masked_architecture(bool pre_norm) { return family(pre_norm) + "ForMaskedLM"; }
std::string label_architecture(bool pre_norm) { return family(pre_norm) + "ForSequenceClassification"; }

constexpr int64_t position_offset = 2;  // positions count from the padding token's id + 1
struct Architecture {
  bool pre_norm = false;
  bool labels = false;  // it tells classes, or gives scores
};

Architecture read_architecture(const ConfigReader& reader) {
  const json* type = reader.find("model_type");
  const bool pre_norm = type != nullptr && *type == model_type(true);
  if (!pre_norm && (type == nullptr || *type != model_type(false)))
    reader.refuse(message("unknown architecture: \"model_type\" is ", type == nullptr ? "missing" : type->dump(),
                          "; \"roberta\", \"roberta-prelayernorm\" and \"gpt2\" can be imported"));
  const std::string masked = masked_architecture(pre_norm), label = label_architecture(pre_norm),
                    encoder = family(pre_norm) + "Model";
  const json* names = reader.find("architectures");
  if (names == nullptr) return {pre_norm, false};
  const auto has = [&](const std::string& name) {
    return names->is_array() && std::find(names->begin(), names->end(), json(name)) != names->end();
  };
  if (has(label)) return {pre_norm, true};
  if (!has(masked) && !has(encoder))
    reader.refuse(message("unknown architecture: \"architectures\" is ", names->dump(), "; [\"", masked, "\"], [\"",
                          label, "\"] and [\"", encoder, "\"] can be imported"));
  return {pre_norm, false};
}

// The names of classes by number; transformers' default is two of them.
std::vector<std::string> read_labels(const ConfigReader& reader) {
  const json* given = reader.find("id2label");
  if (given == nullptr) return {"LABEL_0", "LABEL_1"};
  std::vector<std::string> labels;
  for (size_t i = 0; given->is_object() && i < given->size(); ++i) {
    const auto found = given->find(std::to_string(i));
    if (found == given->end() || !found->is_string()) break;
    labels.push_back(found->get<std::string>());
  }
  if (!given->is_object() || labels.size() < given->size() || labels.empty())
    reader.refuse(message("\"id2label\" is ", given->dump(), "; names of the classes 0, 1, ... are expected"));
  return labels;
}

void read_classifier(const ConfigReader& reader, RobertaShape& shape) {
  shape.labels = read_labels(reader);
  const json* problem = reader.find("problem_type");
  const std::string type = problem != nullptr && problem->is_string() ? problem->get<std::string>() : "";
  if (type == "multi_label_classification")
    reader.refuse("\"problem_type\" is \"multi_label_classification\"; one class, or one score, per text is supported");
  // As transformers decide where it is not said.
  const bool scores = type == "regression" || (type.empty() && shape.labels.size() == 1);
  shape.objective = scores ? Objective::regression : Objective::classification;
  if (scores != (shape.labels.size() == 1))
    reader.refuse(message("\"id2label\" has ", shape.labels.size(),
                          " names, which does not go with \"problem_type\" \"", type, "\""));
  if (scores) shape.labels.clear();
  const json* dropout = reader.find("classifier_dropout");
  if (dropout != nullptr && (!dropout->is_number() || dropout->get<double>() != shape.dropout))
    reader.refuse(message("\"classifier_dropout\" is ", dropout->dump(), "; only null and the same as ",
                          "\"hidden_dropout_prob\" are supported: the classifier drops as the encoder does"));
}

void check_details(const ConfigReader& reader) {
  reader.require("hidden_act", "gelu", "gelu", "blocks use the exact GELU");
  reader.require("position_embedding_type", "absolute", "absolute", "positions are a table");
  reader.require("pad_token_id", 1, 1, "positions count from the padding token's id");
  reader.require("is_decoder", false, false, "the encoder sees both sides");
  reader.require("add_cross_attention", false, false, "the encoder stands alone");
}

}  // namespace

RobertaShape shape_of(const RunSettings& settings) {
  const Section model = settings.config.section("model");
  RobertaShape shape;
  shape.layers = model.integer("layers", 8, 1);
  shape.width = model.integer("width", 64, 1);
  shape.heads = model.integer("heads", 4, 1);
  shape.feed_forward = model.integer("feed_forward", 256, 1);
  shape.vocabulary = model.integer("vocabulary", 261, 2);
  shape.max_length = model.integer("max_length", 64, 1);
  shape.dropout = model.number("dropout", 0.1, 0.0, 1.0);
  shape.attention_dropout = model.number("attention_dropout", shape.dropout, 0.0, 1.0);
  shape.tied = model.flag("tie_embeddings", false);
  shape.pre_norm = model.one_of("norm", "post", {"post", "pre"}) == "pre";
  shape.norm_epsilon = model.number("layer_norm_epsilon", 1e-5, 1e-30, 1.0);
  shape.token_types = model.integer("token_types", 1, 1);
  return shape;
}

RobertaShape shape_of(const TextModel& source) {
  RobertaShape shape = shape_of(source.settings);
  shape.objective = source.objective;
  shape.labels = source.labels;
  shape.bytes = source.reads_bytes();
  return shape;
}

std::string architecture_of(const RobertaShape& shape) {
  return shape.objective == Objective::masked ? masked_architecture(shape.pre_norm)
                                              : label_architecture(shape.pre_norm);
}

std::string interlock_config(const RobertaShape& shape) {
  const auto number = [](double value) { return json(value).dump(); };  // shortest that reads back to the same bits
  return message(
      "[model]\nname = \"roberta\"\nlayers = ", shape.layers, "\nwidth = ", shape.width, "\nheads = ", shape.heads,
      "\nfeed_forward = ", shape.feed_forward, "\nvocabulary = ", shape.vocabulary, "\nmax_length = ", shape.max_length,
      "\ndropout = ", number(shape.dropout), "\nattention_dropout = ", number(shape.attention_dropout),
      "\ntie_embeddings = ", shape.tied ? "true" : "false", shape.pre_norm ? "\nnorm = \"pre\"" : "",
      shape.norm_epsilon != 1e-5 ? "\nlayer_norm_epsilon = " + number(shape.norm_epsilon) : "",
      shape.token_types != 1 ? message("\ntoken_types = ", shape.token_types) : "", "\n\n[data]\nname = \"",
      shape.objective != Objective::masked ? "labelled"
      : shape.bytes                        ? "text"
                                           : "tokens",
      "\"\nsequence_length = ", shape.max_length, "\n",
      shape.objective == Objective::masked
          ? ""
          : "\n[objective]\nname = \"" + name_of(shape.objective) + "\"\n\n[tokenizer]\npath = \"tokenizer\"\n");
}

std::string huggingface_config(const RobertaShape& shape, const std::string& dtype) {
  nlohmann::ordered_json config = {{"architectures", {architecture_of(shape)}},
                                   {"attention_probs_dropout_prob", shape.attention_dropout},
                                   {"bos_token_id", 0},
                                   {"classifier_dropout", nullptr},
                                   {"dtype", dtype_name(dtype)},
                                   {"eos_token_id", 2},
                                   {"hidden_act", "gelu"},
                                   {"hidden_dropout_prob", shape.dropout},
                                   {"hidden_size", shape.width},
                                   {"initializer_range", 0.02},
                                   {"intermediate_size", shape.feed_forward},
                                   {"layer_norm_eps", shape.norm_epsilon},
                                   {"max_position_embeddings", shape.max_length + position_offset},
                                   {"model_type", model_type(shape.pre_norm)},
                                   {"num_attention_heads", shape.heads},
                                   {"num_hidden_layers", shape.layers},
                                   {"pad_token_id", 1},
                                   {"position_embedding_type", "absolute"},
                                   {"tie_word_embeddings", shape.tied},
                                   {"torch_dtype", dtype_name(dtype)},  // what "dtype" was called before 2025
                                   {"type_vocab_size", shape.token_types},
                                   {"use_cache", true},
                                   {"vocab_size", shape.vocabulary}};
  if (shape.bytes) config[bytes_key] = true;
  if (shape.objective == Objective::masked) return config.dump(2) + "\n";
  const std::vector<std::string> labels =
      shape.objective == Objective::regression ? std::vector<std::string>{"LABEL_0"} : shape.labels;
  for (size_t i = 0; i < labels.size(); ++i) {
    config["id2label"][std::to_string(i)] = labels[i];
    config["label2id"][labels[i]] = i;
  }
  config["problem_type"] = shape.objective == Objective::regression ? "regression" : "single_label_classification";
  return config.dump(2) + "\n";
}

RobertaShape read_huggingface_config(const std::string& path) {
  const ConfigReader reader(path);
  const auto [pre_norm, labels] = read_architecture(reader);
  check_details(reader);
  RobertaShape shape;
  shape.pre_norm = pre_norm;
  shape.layers = reader.size("num_hidden_layers", most_layers);
  shape.width = reader.size("hidden_size", most_width);
  shape.heads = reader.size("num_attention_heads", most_heads);
  shape.feed_forward = reader.size("intermediate_size", most_feed_forward);
  shape.vocabulary = reader.size("vocab_size", most_vocabulary, 2);
  shape.max_length = reader.size("max_position_embeddings", most_length, position_offset + 1) - position_offset;
  shape.dropout = reader.rate("hidden_dropout_prob");
  shape.attention_dropout = reader.rate("attention_probs_dropout_prob");
  shape.tied = reader.flag("tie_word_embeddings", true);
  shape.norm_epsilon = reader.epsilon("layer_norm_eps", 1e-12);
  shape.token_types = reader.find("type_vocab_size") == nullptr ? 2 : reader.size("type_vocab_size", int64_t{1} << 16);
  shape.bytes = reader.reads_bytes(shape.vocabulary);
  if (labels) {
    read_classifier(reader, shape);
    shape.tied = false;  // there is no readout of the vocabulary
  }
  if (shape.width % shape.heads != 0)
    reader.refuse(
        message("\"hidden_size\" ", shape.width, " cannot be divided by \"num_attention_heads\" ", shape.heads));
  return shape;
}

}  // namespace interlock
