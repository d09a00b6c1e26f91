// GPT-2's config.json both ways, and which tensors its folders hold. Keys as transformers' GPT2Config has them.
#include "launch/huggingface/gpt2.h"

#include <algorithm>
#include <cmath>

#include "launch/huggingface/config_reader.h"
#include "runtime/data/token_vocabulary.h"

namespace interlock {
namespace {

using nlohmann::json;

constexpr const char* architecture = "GPT2LMHeadModel";
constexpr const char* body_alone = "GPT2Model";  // whose readout is the table of words, as that of the other is

struct Gpt2Shape {
  int64_t layers = 12, width = 768, heads = 12, feed_forward = 3072, vocabulary = 50257, max_length = 1024;
  double dropout = 0.1, embedding_dropout = 0.1, attention_dropout = 0.1;
  double norm_epsilon = 1e-5;
  bool tied = true;
  bool bytes = false;  // its tokens are bytes: no tokenizer belongs to it
  bool document_mask = false;
};

void check_details(const ConfigReader& reader) {
  const json* names = reader.find("architectures");
  const auto is = [&](const char* name) {
    return names->is_array() && std::ranges::find(*names, json(name)) != names->end();
  };
  if (names != nullptr && !is(architecture) && !is(body_alone))
    reader.refuse(message("unknown architecture: \"architectures\" is ", names->dump(), "; [\"", architecture,
                          "\"] can be imported, and [\"", body_alone, "\"]"));
  reader.require("activation_function", "gelu_new", "gelu_new", "blocks use GELU in its tanh form");
  reader.require("scale_attn_weights", true, true, "scores are divided by the root of a head's width");
  reader.require("scale_attn_by_inverse_layer_idx", false, false, "all layers scale their scores alike");
  reader.require("add_cross_attention", false, false, "the model stands alone");
}

Gpt2Shape read_shape(const std::string& path) {
  const ConfigReader reader(path);
  check_details(reader);
  Gpt2Shape shape;
  shape.layers = reader.size("n_layer", most_layers);
  shape.width = reader.size("n_embd", most_width);
  shape.heads = reader.size("n_head", most_heads);
  shape.feed_forward = reader.find("n_inner") == nullptr ? 4 * shape.width : reader.size("n_inner", most_feed_forward);
  shape.vocabulary = reader.size("vocab_size", most_vocabulary, 2);
  shape.max_length = reader.size("n_positions", most_length);
  shape.dropout = reader.rate("resid_pdrop");
  shape.embedding_dropout = reader.rate("embd_pdrop");
  shape.attention_dropout = reader.rate("attn_pdrop");
  shape.tied = reader.flag("tie_word_embeddings", true);
  shape.norm_epsilon = reader.epsilon("layer_norm_epsilon", 1e-5);
  shape.bytes = reader.reads_bytes(shape.vocabulary);
  shape.document_mask = reader.flag(document_mask_key, false);
  if (shape.width % shape.heads != 0)
    reader.refuse(message("\"n_embd\" ", shape.width, " cannot be divided by \"n_head\" ", shape.heads));
  return shape;
}

Gpt2Shape shape_of(const RunSettings& settings) {
  const Section model = settings.config.section("model");
  Gpt2Shape shape;
  shape.layers = model.integer("layers", 8, 1);
  shape.width = model.integer("width", 64, 1);
  shape.heads = model.integer("heads", 4, 1);
  shape.feed_forward = model.integer("feed_forward", 4 * shape.width, 1);
  shape.vocabulary = model.integer("vocabulary", 261, 2);
  shape.max_length = model.integer("max_length", 64, 1);
  shape.dropout = model.number("dropout", 0.1, 0.0, 1.0);
  shape.embedding_dropout = model.number("embedding_dropout", shape.dropout, 0.0, 1.0);
  shape.attention_dropout = model.number("attention_dropout", shape.dropout, 0.0, 1.0);
  shape.tied = model.flag("tie_embeddings", false);
  shape.norm_epsilon = model.number("layer_norm_epsilon", 1e-5, 1e-30, 1.0);
  shape.document_mask = settings.config.section("objective").flag("document_mask", false);
  return shape;
}

// The files of the first release lack "transformer.".
FolderTensor tensor(const std::string& name, std::vector<int64_t> shape, bool turned = false) {
  FolderTensor made{.name = name, .shape = std::move(shape), .turned = turned};
  const std::string root = "transformer.";
  if (name.starts_with(root)) made.or_else = {name.substr(root.size())};
  return made;
}

std::vector<FolderTensor> tensors_of(const Gpt2Shape& shape) {
  const int64_t width = shape.width;
  std::vector<FolderTensor> tensors;
  const auto norm = [&](const std::string& name) {
    for (const char* part : {".weight", ".bias"}) tensors.push_back(tensor(name + part, {width}));
  };
  const auto conv1d = [&](const std::string& name, int64_t inputs, int64_t outputs) {
    tensors.push_back(tensor(name + ".weight", {inputs, outputs}, true));
    tensors.push_back(tensor(name + ".bias", {outputs}));
  };
  tensors.push_back(tensor("transformer.wte.weight", {shape.vocabulary, width}));
  tensors.push_back(tensor("transformer.wpe.weight", {shape.max_length, width}));
  for (int64_t i = 0; i < shape.layers; ++i) {
    const std::string layer = "transformer.h." + std::to_string(i) + ".";
    norm(layer + "ln_1");
    conv1d(layer + "attn.c_attn", width, 3 * width);
    conv1d(layer + "attn.c_proj", width, width);
    norm(layer + "ln_2");
    conv1d(layer + "mlp.c_fc", width, shape.feed_forward);
    conv1d(layer + "mlp.c_proj", shape.feed_forward, width);
  }
  norm("transformer.ln_f");
  if (!shape.tied) tensors.push_back(tensor("lm_head.weight", {shape.vocabulary, width}));
  return tensors;
}

std::string interlock_config(const Gpt2Shape& shape) {
  const auto number = [](double value) { return json(value).dump(); };  // shortest that reads back to the same bits
  return message(
      "[model]\nname = \"gpt\"\nlayers = ", shape.layers, "\nwidth = ", shape.width, "\nheads = ", shape.heads,
      "\nfeed_forward = ", shape.feed_forward, "\nvocabulary = ", shape.vocabulary, "\nmax_length = ", shape.max_length,
      "\ndropout = ", number(shape.dropout), "\nembedding_dropout = ", number(shape.embedding_dropout),
      "\nattention_dropout = ", number(shape.attention_dropout), "\ntie_embeddings = ", shape.tied ? "true" : "false",
      shape.norm_epsilon != 1e-5 ? "\nlayer_norm_epsilon = " + number(shape.norm_epsilon) : "", "\n\n[data]\nname = \"",
      shape.bytes ? "text" : "tokens", "\"\nsequence_length = ", shape.max_length,
      "\n\n[objective]\nname = \"causal\"\n", shape.document_mask ? "document_mask = true\n" : "");
}

std::string config_json(const Gpt2Shape& shape, const std::string& dtype, int64_t end) {
  nlohmann::ordered_json config = {{"activation_function", "gelu_new"},
                                   {"architectures", {architecture}},
                                   {"attn_pdrop", shape.attention_dropout},
                                   {"bos_token_id", end},
                                   {"dtype", dtype_name(dtype)},
                                   {"embd_pdrop", shape.embedding_dropout},
                                   {"eos_token_id", end},
                                   {"initializer_range", 0.02},
                                   {"layer_norm_epsilon", shape.norm_epsilon},
                                   {"model_type", "gpt2"},
                                   {"n_ctx", shape.max_length},
                                   {"n_embd", shape.width},
                                   {"n_head", shape.heads},
                                   {"n_inner", shape.feed_forward},
                                   {"n_layer", shape.layers},
                                   {"n_positions", shape.max_length},
                                   {"reorder_and_upcast_attn", false},
                                   {"resid_pdrop", shape.dropout},
                                   {"scale_attn_by_inverse_layer_idx", false},
                                   {"scale_attn_weights", true},
                                   {"tie_word_embeddings", shape.tied},
                                   {"torch_dtype", dtype_name(dtype)},  // what "dtype" was called before 2025
                                   {"use_cache", true},
                                   {"vocab_size", shape.vocabulary}};
  if (shape.bytes) config[bytes_key] = true;
  if (shape.document_mask) config[document_mask_key] = true;
  return config.dump(2) + "\n";
}

FolderModel folder_of(const Gpt2Shape& shape) {
  FolderModel model;
  model.architecture = architecture;
  model.tensors = tensors_of(shape);
  model.word_table = "transformer.wte.weight";
  if (shape.tied) model.tied = {{"lm_head.weight", model.word_table}};
  // The causal mask, which was a buffer once.
  model.is_harmless = [](const std::string& name) {
    return name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias");
  };
  model.vocabulary = shape.vocabulary;
  model.reads_bytes = shape.bytes;
  model.max_length = shape.max_length;
  model.interlock_config = interlock_config(shape);
  model.config = [shape](const std::string& dtype, int64_t end) { return config_json(shape, dtype, end); };
  model.check_tokenizer = [](const Tokenizer& tokenizer, const std::string& folder) {
    document_end(tokenizer, folder);
  };
  model.tokenizer_class = "PreTrainedTokenizerFast";
  model.framed = false;
  if (shape.document_mask)
    model.note =
        "It was trained with attention and positions within documents (objective.document_mask), which "
        "transformers do not keep to by themselves: give them one document at a time";
  return model;
}

}  // namespace

FolderModel read_gpt2(const std::string& config_path) { return folder_of(read_shape(config_path)); }
FolderModel gpt2_of(const TextModel& source) {
  Gpt2Shape shape = shape_of(source.settings);
  shape.bytes = source.reads_bytes();
  return folder_of(shape);
}

}  // namespace interlock
