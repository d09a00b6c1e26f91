// Writing adapter folders, and low-rank updates merged into weights. (read_adapter_folder.cpp: the other way.)
#include "launch/huggingface/adapter_folder.h"

#include <ATen/ops/matmul.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "launch/huggingface/folder_model.h"
#include "launch/huggingface/inventory.h"
#include "launch/run/data_identity.h"
#include "launch/settings/parts.h"
#include "runtime/core/error.h"
#include "runtime/storage/tensors/tensor_entry.h"
#include "runtime/storage/weights_set.h"

namespace interlock {
namespace {

using nlohmann::json;
using Options = std::map<std::string, json>;

// The options of a technique of these settings, with the values they got; empty when it is none of them.
Options options_of(const RunSettings& settings, const std::string& name) {
  std::map<std::string, Options> tables;
  for (const auto& [key, value] : settings.config.resolved_values()) {
    const size_t dot = key.find('.');
    if (key.starts_with("technique[")) tables[key.substr(0, dot)][key.substr(dot + 1)] = json::parse(value);
  }
  for (const auto& [table, options] : tables)
    if (options.at("name") == name) return options;
  return {};
}

// What their library divides the width by; it rounds the quotient down, in doubles.
double reduction_factor(int64_t width, int64_t size) {
  const auto wide = static_cast<double>(width), narrow = static_cast<double>(size);
  return width % size == 0 ? wide / narrow : wide / (narrow + 0.5);
}

constexpr const char* adapterhub_version = "adapters.1.2.0";

// All fields of its BnConfig (adapters 1.2.0): what is missing is taken from other defaults by other versions.
json adapterhub_config(const Options& options, const RobertaShape& shape) {
  const bool pfeiffer = options.at("variant") == "pfeiffer";
  const json bottleneck = {{"adapter_residual_before_ln", false},
                           {"architecture", nullptr},
                           {"cross_adapter", false},
                           {"dropout", 0.0},
                           {"factorized_phm_W", true},
                           {"factorized_phm_rule", false},
                           {"hypercomplex_nonlinearity", "glorot-uniform"},
                           {"init_weights", "bert"},
                           {"init_weights_seed", nullptr},
                           {"inv_adapter", nullptr},
                           {"inv_adapter_reduction_factor", nullptr},
                           {"is_parallel", false},
                           {"learn_phm", true},
                           {"leave_out", json::array()},
                           {"ln_after", false},
                           {"ln_before", false},
                           {"mh_adapter", !pfeiffer},
                           {"non_linearity", options.at("activation")},
                           {"original_ln_after", true},
                           {"original_ln_before", pfeiffer},
                           {"output_adapter", true},
                           {"phm_bias", true},
                           {"phm_c_init", "normal"},
                           {"phm_dim", 4},
                           {"phm_init_range", 0.0001},
                           {"phm_layer", false},
                           {"phm_rank", 1},
                           {"reduction_factor", reduction_factor(shape.width, options.at("size"))},
                           {"residual_before_ln", true},
                           {"scaling", 1.0},
                           {"shared_W_phm", false},
                           {"shared_phm_rule", true},
                           {"stochastic_depth", 0.0},
                           {"use_gating", false}};
  return {{"config", bottleneck},         {"hidden_size", shape.width}, {"model_class", architecture_of(shape)},
          {"model_name", nullptr},        {"model_type", "roberta"},    {"name", options.at("adapter_name")},
          {"version", adapterhub_version}};
}

// What stands beside the readout's tensors in a file of their own. Their library takes a readout of the same class of
// model alone.
json adapterhub_head_config(const RobertaShape& shape) {
  json config = {{"config", nullptr},
                 {"hidden_size", shape.width},
                 {"model_class", architecture_of(shape)},
                 {"model_name", nullptr},
                 {"model_type", "roberta"},
                 {"name", nullptr},
                 {"version", adapterhub_version}};
  if (shape.objective == Objective::masked) return config;
  config["num_labels"] = shape.classes();
  for (size_t i = 0; i < shape.labels.size(); ++i) config["label2id"][shape.labels[i]] = i;
  return config;
}

json peft_config(const Options& options, const RobertaShape& shape) {
  json config = {{"base_model_name_or_path", nullptr},
                 {"bias", "none"},
                 {"fan_in_fan_out", false},
                 {"inference_mode", true},
                 {"init_lora_weights", true},
                 {"lora_alpha", options.at("alpha")},
                 {"lora_dropout", options.at("dropout")},
                 {"modules_to_save", nullptr},
                 {"peft_type", "LORA"},
                 {"r", options.at("rank")},
                 {"target_modules", options.at("targets")},
                 {"task_type", nullptr},
                 {"use_rslora", false}};
  if (shape.objective != Objective::masked) config["task_type"] = "SEQ_CLS";
  return config;
}

// Layers without an adapter, as their library names them.
json without_adapter(const std::vector<int64_t>& layers, const std::set<int64_t>& there) {
  json left_out = json::array();
  if (layers.empty()) return left_out;
  for (const int64_t layer : there)
    if (std::ranges::find(layers, layer) == layers.end()) left_out.push_back(layer);
  return left_out;
}

using Names = std::vector<std::pair<std::string, std::string>>;

// Of the tensors that were inserted those whose names have `part`, behind `prefix`; and of the model they were trained
// on what the weights know.
AdapterFolder::Tensors inserted(const TextModel& source, const std::string& file, const std::string& part,
                                const std::string& prefix) {
  AdapterFolder::Tensors tensors{file, {}, {{"format", "pt"}}};
  for (const TensorEntry& tensor : source.weights->tensors())
    if (source.model->is_inserted(tensor.name) && tensor.name.find(part) != std::string::npos)
      tensors.names.emplace_back(prefix + tensor.name, tensor.name);
  const auto digest = source.weights->metadata().find(base_digest_state);
  if (digest != source.weights->metadata().end()) tensors.metadata.insert(*digest);
  return tensors;
}

struct Readout {
  Names tensors;                           // under their names in transformers, with the norm below it
  std::vector<std::string> modules;        // that hold them, as PEFT finds them
  std::vector<std::string> linear_layers;  // among its modules
  bool trained = false;                    // else it is the base's own
};

Readout readout_of(const TextModel& source, const RobertaShape& shape) {
  FolderModel model = folder_model_of(source);
  const std::string norm = shape.root() + ".LayerNorm";  // of pre-norm models, in which it trains with the readout
  std::erase_if(model.tensors, [&](const FolderTensor& tensor) {
    return tensor.name.starts_with(shape.root() + ".") && !tensor.name.starts_with(norm + ".");
  });
  Readout readout{tensors_for(model, *source.weights, source.model->aliases()), {}, {}};
  std::set<std::string> modules;
  for (const FolderTensor& tensor : model.tensors)
    modules.insert(tensor.name.starts_with(norm + ".") ? norm : tensor.name.substr(0, tensor.name.find('.')));
  readout.modules.assign(modules.begin(), modules.end());
  for (const FolderTensor& tensor : model.tensors)
    if (tensor.shape.size() == 2) readout.linear_layers.push_back(tensor.name.substr(0, tensor.name.rfind('.')));
  std::vector<std::string> names;
  for (const auto& tensor : readout.tensors) names.push_back(tensor.second);
  readout.trained = trains_readout(source.settings, *source.model, names);
  // PEFT saves a module with all its tensors, tied ones too, and looks for all of them.
  for (const auto& [name, twin] : model.tied)
    if (const TensorEntry* stored = source.weights->find(twin)) readout.tensors.emplace_back(name, stored->name);
  return readout;
}

AdapterFolder adapterhub_folder(const TextModel& source, const RobertaShape& shape, const Options& options,
                                const Readout& readout) {
  std::set<int64_t> there;
  for (const InsertionSite& site : source.model->sites()) there.insert(site.layer);
  json config = adapterhub_config(options, shape);
  config["config"]["leave_out"] = without_adapter(options.at("layers"), there);
  AdapterFolder folder{{{"adapter_config.json", config.dump(2) + "\n"}},
                       {inserted(source, "adapter.safetensors", ".adapters.", "")},
                       {}};
  if (readout.trained) {
    folder.configs["head_config.json"] = adapterhub_head_config(shape).dump(2) + "\n";
    folder.tensors.push_back({"model_head.safetensors", readout.tensors, {{"format", "pt"}}});
  }
  if (options.at("train_norms") == true) folder.left_out.emplace_back("norms");
  return folder;
}

AdapterFolder peft_folder(const TextModel& source, const RobertaShape& shape, const Options& options,
                          const Readout& readout) {
  const std::string prefix = "base_model.model.";
  json config = peft_config(options, shape);
  AdapterFolder::Tensors tensors = inserted(source, "adapter_model.safetensors", ".lora_", prefix);
  if (readout.trained) {
    config["modules_to_save"] = readout.modules;
    for (const auto& [name, stored] : readout.tensors) tensors.names.emplace_back(prefix + name, stored);
    if (!shape.labels.empty()) tensors.metadata[labels_metadata] = labels_text(shape.labels);  // PEFT asks the base
  }
  // PEFT looks for targets in the readout too, unless it saves that, and warns of an exclusion that it did not need.
  for (const std::string& layer : readout.linear_layers)
    for (const json& target : options.at("targets"))
      if (!readout.trained && layer.ends_with("." + target.get<std::string>()))
        config["exclude_modules"].push_back(layer);
  return {{{"adapter_config.json", config.dump(2) + "\n"}}, {tensors}, {}};
}

}  // namespace

void require_roberta(const RunSettings& settings, const std::string& what) {
  if (settings.model_name == "roberta") return;
  throw Error(ExitCode::config, message(what, " is read and written for the model \"roberta\" alone; this one is \"",
                                        settings.model_name, "\""));
}

std::optional<AdapterFolder> adapter_folder(const TextModel& source) {
  const Options adapters = options_of(source.settings, "adapters"), lora = options_of(source.settings, "lora");
  if (adapters.empty() && lora.empty()) return std::nullopt;
  const std::string& path = source.weights->path();
  if (!adapters.empty() && !lora.empty())
    throw Error(ExitCode::config, message(path, ": was trained with adapters and lora together; AdapterHub's format ",
                                          "has no place for the one, PEFT's none for the other"));
  const RobertaShape shape = shape_of(source);
  if (!adapters.empty() && shape.pre_norm)
    throw Error(
        ExitCode::config,
        message(path, ": model.norm is \"pre\", and AdapterHub's library has no adapters for ", "such a RoBERTa"));
  const Readout readout = readout_of(source, shape);
  return lora.empty() ? adapterhub_folder(source, shape, adapters, readout) : peft_folder(source, shape, lora, readout);
}

std::map<std::string, at::Tensor> merged_weights(const RunSettings& settings, const WeightsSet& weights) {
  const Options lora = options_of(settings, "lora");
  std::map<std::string, at::Tensor> merged;
  if (lora.empty()) return merged;
  const double scale = lora.at("alpha").get<double>() / lora.at("rank").get<double>();
  const auto values = [&](const std::string& name) {
    const TensorEntry* entry = weights.find(name);
    if (entry == nullptr) throw Error(ExitCode::bad_input, message(weights.path(), ": has no tensor ", name));
    return tensor_view(*entry, weights.bytes(*entry), weights.path());
  };
  const std::string ending = ".lora_A.weight";
  for (const TensorEntry& tensor : weights.tensors()) {
    if (!tensor.name.ends_with(ending)) continue;
    const std::string site = tensor.name.substr(0, tensor.name.size() - ending.size());
    const at::Tensor weight = values(site + ".weight");
    const at::Tensor update =
        at::matmul(values(site + ".lora_B.weight").to(at::kDouble), values(tensor.name).to(at::kDouble));
    merged[site + ".weight"] = (weight.to(at::kDouble) + update * scale).to(weight.scalar_type());
  }
  return merged;
}

}  // namespace interlock
