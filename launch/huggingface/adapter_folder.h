#pragma once
// Folders that hold what was added to a model and not the model: AdapterHub's (library `adapters`) of bottlenecks,
// PEFT's of low-rank updates. Both are an adapter_config.json and a safetensors file.

#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "launch/huggingface/huggingface.h"
#include "launch/stored_model/model_source.h"

namespace interlock {

struct AdapterFolder {
  struct Tensors {
    std::string file;
    std::vector<std::pair<std::string, std::string>> names;  // in the file, in the weights
    std::map<std::string, std::string> metadata;
  };
  std::map<std::string, std::string> configs;  // adapter_config.json, and what else is JSON, by its file
  std::vector<Tensors> tensors;
  std::vector<std::string> left_out;  // what else was trained that the format has no place for
};
// Of weights trained with `adapters` or `lora`, with the readout where that trained too: PEFT keeps it beside the
// updates (modules_to_save), AdapterHub in files of its own (head_config.json, model_head.safetensors). None when
// trained with neither. Error(config) for both (neither format has a place for the other's) and for adapters in a
// pre-norm model.
std::optional<AdapterFolder> adapter_folder(const TextModel& source);

// Error(config) for another model than "roberta", which `what` is not there for.
void require_roberta(const RunSettings& settings, const std::string& what);

// A folder of either kind, to be laid on a model of `shape`.
struct ForeignAdapter {
  std::string technique;  // the [[technique]] table that says the same
  std::shared_ptr<const SafetensorsFile> file;
  std::shared_ptr<const SafetensorsFile> readout_file = {};  // null: it has no readout
  std::vector<std::pair<std::string, std::string>> tensors;  // global name, name in the file
  std::vector<std::pair<std::string, std::string>> readout;  // the same of readout_file
  std::vector<std::string> labels = {};                      // of its classes, by number; empty: it does not say
  std::string base_digest;                                   // of the model it was trained on; "": it does not say
};
bool is_adapter_folder(const std::string& folder);
// Error(bad_input) names the file and the key or tensor: what is not supported, missing, or of another width.
ForeignAdapter read_adapter_folder(const std::string& folder, const RobertaShape& shape);

// Of weights trained with `lora`: by name of a linear layer's weight what it is with its update added, W + alpha / rank
// * B A, computed in float64 and rounded once.
std::map<std::string, at::Tensor> merged_weights(const RunSettings& settings, const WeightsSet& weights);

}  // namespace interlock
