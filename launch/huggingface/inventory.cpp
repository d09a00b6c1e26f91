#include "launch/huggingface/inventory.h"

#include <torch/nn/module.h>

#include <algorithm>

#include "launch/run/data_identity.h"
#include "launch/run/load_weights.h"
#include "launch/settings/parts.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

// A tied tensor that is stored all the same must be what it is tied to.
bool is_repeated(const WeightsSet& weights, const TensorEntry& tensor, const FolderModel& model) {
  for (const auto& [name, twin] : model.tied) {
    if (tensor.name != name) continue;
    const TensorEntry* other = weights.find(twin);
    if (other == nullptr) return true;  // the one that is taken, or missing with it
    if (other->dtype != tensor.dtype || other->shape != tensor.shape ||
        !std::ranges::equal(weights.bytes(*other), weights.bytes(tensor)))
      throw Error(ExitCode::bad_input,
                  message(weights.path(), ": ", tensor.name, " differs from ", twin,
                          ", which it is tied to (\"tie_word_embeddings\" is true or missing in config.json)"));
    return true;
  }
  return false;
}

// Of two tied tensors a file may hold either. One that `save_model` of the library safetensors wrote names in its
// metadata, by the name of the one it left out, the other that it kept.
const TensorEntry* find_tensor(const WeightsSet& weights, const FolderModel& model, const FolderTensor& wanted) {
  std::vector<std::string> names{wanted.name};
  names.insert(names.end(), wanted.or_else.begin(), wanted.or_else.end());
  for (const auto& [name, twin] : model.tied)
    if (twin == wanted.name) names.push_back(name);
  if (const auto kept = weights.metadata().find(wanted.name); kept != weights.metadata().end())
    names.push_back(kept->second);
  for (const std::string& name : names)
    if (const TensorEntry* found = weights.find(name)) return found;
  return nullptr;
}

// The readout is there as a whole or not at all: one of which a part is missing is a damaged file.
bool has_no_readout(const WeightsSet& weights, const FolderModel& model, const std::vector<std::string>& missing) {
  const auto is_of_readout = [&](const std::string& name) {
    return !model.readout.empty() && name.starts_with(model.readout);
  };
  const bool holds_some = std::ranges::any_of(weights.tensors(), is_of_readout, &TensorEntry::name);
  return !missing.empty() && !holds_some && std::ranges::all_of(missing, is_of_readout);
}

}  // namespace

bool Inventory::is_as_it_stands() const {
  return turned.empty() && left_out.empty() && fresh.empty() &&
         std::ranges::all_of(taken, [](const auto& names) { return names.first == names.second; });
}

Inventory take_inventory(const WeightsSet& weights, const FolderModel& model) {
  const auto refuse = [&](const std::string& what) {
    throw Error(ExitCode::bad_input, message(weights.path(), ": ", what));
  };
  Inventory inventory;
  std::set<std::string> wanted;
  std::vector<std::string> missing, unexpected;
  for (const FolderTensor& tensor : model.tensors) {
    const TensorEntry* found = find_tensor(weights, model, tensor);
    if (found == nullptr) {
      missing.push_back(tensor.name);
      continue;
    }
    wanted.insert(found->name);
    if (tensor.turned && found->shape == tensor.shape_here() && found->shape != tensor.shape)
      refuse(message("tensor ", found->name, " has shape ", shape_text(found->shape), ", the wrong way round: ",
                     model.architecture, " keeps this matrix as [inputs, outputs] (Conv1D), by config.json ",
                     shape_text(tensor.shape), "; turn all such matrices of the file"));
    if (found->shape != tensor.shape)
      refuse(message("tensor ", found->name, " has shape ", shape_text(found->shape), ", by config.json it is ",
                     shape_text(tensor.shape)));
    if (found->dtype != "F32" && found->dtype != "F64" && found->dtype != "F16" && found->dtype != "BF16")
      refuse(message("tensor ", found->name, " has type ", found->dtype, "; weights are F32, F64, F16 or BF16"));
    inventory.taken.emplace_back(tensor.name, found->name);
    if (tensor.turned) inventory.turned.insert(tensor.name);
  }
  for (const TensorEntry& tensor : weights.tensors()) {
    if (wanted.contains(tensor.name)) continue;
    const bool known = model.is_harmless(tensor.name) || is_repeated(weights, tensor, model);
    (known ? inventory.left_out : unexpected).push_back(tensor.name);
  }
  if (has_no_readout(weights, model, missing)) std::swap(inventory.fresh, missing);
  if (!missing.empty()) refuse("tensors are missing: " + some_of(missing));
  if (!unexpected.empty())
    refuse(message("tensors that a ", model.architecture, " does not have: ", some_of(unexpected)));
  return inventory;
}

std::map<std::string, at::Tensor> fresh_tensors(const Inventory& inventory, const FolderModel& model) {
  std::map<std::string, at::Tensor> values;
  if (inventory.fresh.empty()) return values;
  const RunSettings settings = read_settings(Config::from_text(model.interlock_config));
  const ModelSettings parts{
      .model = settings.config.section("model"), .seed = settings.seed, .precision = settings.precision};
  const std::shared_ptr<Model> made = Models::instance().create("model", settings.model_name, parts);
  const auto readout = made->readout();
  for (const auto& named : readout->named_parameters()) values[named.key()] = named.value().detach();
  for (const auto& [alias, name] : made->aliases()) values[alias] = values.at(name);
  std::map<std::string, at::Tensor> wanted;
  for (const std::string& name : inventory.fresh) wanted[name] = values.at(name);
  return wanted;
}

std::string fresh_text(const Inventory& inventory) {
  if (inventory.fresh.empty()) return "";
  return message("the file holds an encoder alone: its readout (", some_of(inventory.fresh),
                 ") is fresh, and guesses nothing before it is trained");
}

std::map<std::string, std::string> metadata_of(const FolderModel& model, const Tokenizer* tokenizer) {
  std::map<std::string, std::string> metadata = {{"interlock.config", model.interlock_config}};
  if (!model.labels.empty()) metadata[labels_metadata] = labels_text(model.labels);
  if (tokenizer != nullptr) metadata[tokenizer_metadata] = tokenizer->fingerprint();
  return metadata;
}

std::vector<std::pair<std::string, std::string>> tensors_for(
    const FolderModel& model, const WeightsSet& weights,
    const std::vector<std::pair<std::string, std::string>>& aliases) {
  std::vector<std::pair<std::string, std::string>> tensors;
  for (const FolderTensor& wanted : model.tensors) {
    const TensorEntry* found = weights.find(wanted.name);
    for (const auto& [alias, name] : aliases) {
      if (found == nullptr && wanted.name == alias) found = weights.find(name);
      if (found == nullptr && wanted.name == name) found = weights.find(alias);
    }
    if (found == nullptr) throw Error(ExitCode::bad_input, message(weights.path(), ": has no tensor ", wanted.name));
    if (found->shape != wanted.shape_here())
      throw Error(ExitCode::bad_input,
                  message(weights.path(), ": tensor ", wanted.name, " has shape ", shape_text(found->shape),
                          ", the model needs ", shape_text(wanted.shape_here())));
    tensors.emplace_back(wanted.name, found->name);
  }
  return tensors;
}

void check_tokenizer(const Tokenizer& tokenizer, const FolderModel& model, const std::string& folder) {
  if (tokenizer.vocabulary() > model.vocabulary)
    throw Error(ExitCode::bad_input,
                message(folder, ": a tokenizer of another vocabulary than the model: it has ", tokenizer.vocabulary(),
                        " tokens, the model by config.json ", model.vocabulary));
  model.check_tokenizer(tokenizer, folder);
}

}  // namespace interlock
