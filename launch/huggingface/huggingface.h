#pragma once
// The folder of a RoBERTa as Hugging Face's transformers write and read it (RobertaForMaskedLM,
// RobertaForSequenceClassification, and with pre-norm blocks RobertaPreLayerNormFor...): config.json,
// model.safetensors, tokenizer files. Reads and writes its parts; which tensors a model has is known from its shape
// alone, so that no model is built to copy one.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "launch/settings/run_settings.h"
#include "launch/stored_model/model_source.h"
#include "runtime/data/objective.h"
#include "runtime/data/tokenizer.h"
#include "runtime/storage/safetensors.h"
#include "runtime/storage/weights_set.h"

namespace interlock {

// What both sides say about a RoBERTa.
struct RobertaShape {
  int64_t layers = 0, width = 0, heads = 0, feed_forward = 0, vocabulary = 0, max_length = 0;
  double dropout = 0, attention_dropout = 0;
  bool tied = true;
  bool pre_norm = false;
  double norm_epsilon = 1e-5;
  int64_t token_types = 1;
  bool bytes = false;  // its tokens are bytes: no tokenizer belongs to it
  Objective objective = Objective::masked;
  std::vector<std::string> labels = {};  // of a classification, by number

  std::string root() const { return pre_norm ? "roberta_prelayernorm" : "roberta"; }  // of the encoder's names
  int64_t classes() const { return objective == Objective::regression ? 1 : static_cast<int64_t>(labels.size()); }
};

// The class of transformers that opens it.
std::string architecture_of(const RobertaShape& shape);

// Of a model "roberta": from its settings alone, and with what it scores and how it names classes.
RobertaShape shape_of(const RunSettings& settings);
RobertaShape shape_of(const TextModel& source);
// Its [model] and [data], as TOML that read_settings takes; names of classes stand in the metadata of weights.
std::string interlock_config(const RobertaShape& shape);

// config.json. `dtype` is that of the tensors, as safetensors call it.
std::string huggingface_config(const RobertaShape& shape, const std::string& dtype);
// Error(bad_input) names the file, the key, what was found, and what is supported.
RobertaShape read_huggingface_config(const std::string& path);

// Names and shapes of all tensors of a file (no types, no offsets): tied, the decoder has none of its own.
std::vector<TensorEntry> huggingface_tensors(const RobertaShape& shape);

// The tensors of a Hugging Face folder: model.safetensors, or the parts that model.safetensors.index.json lists.
// Error(bad_input) for neither, and for a pytorch_model.bin, with the reason.
std::shared_ptr<const WeightsSet> open_huggingface_weights(const std::string& folder);
// Writes `tensors` of `weights` (the second of each pair is the name there) to one file. `between_tensors` may throw:
// then there is no file. What `replaced` names (by its name in the file) has these values instead, of the same type and
// shape. What `turned` names is written the other way round, [b, a] for [a, b]. What is
// `added` is in the file besides, in float32.
void copy_tensors(const WeightsSet& weights, const std::vector<std::pair<std::string, std::string>>& tensors,
                  const std::string& path, const std::map<std::string, std::string>& metadata,
                  const std::function<void()>& between_tensors, const std::map<std::string, at::Tensor>& replaced = {},
                  const std::set<std::string>& turned = {}, const std::map<std::string, at::Tensor>& added = {});

// tokenizer.json, vocab.json, merges.txt, tokenizer_config.json and special_tokens_map.json, for a class of
// transformers. `framed`: it puts texts between <s> and </s>.
void write_huggingface_tokenizer(const Tokenizer& tokenizer, int64_t max_length, const std::string& tokenizer_class,
                                 bool framed, const std::string& folder);
// Whether a folder holds the files of a tokenizer that we read.
bool has_tokenizer(const std::string& folder);

}  // namespace interlock
