// Writing adapter folders, and low-rank updates merged into weights. (read_adapter_folder.cpp: the other way.)
#include "launch/huggingface/adapter_folder.h"

#include <ATen/ops/matmul.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

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

// All fields of its BnConfig (adapters 1.2.0): what is missing is taken from other defaults by other versions.
json adapterhub_config(const Options& options, int64_t width, const std::string& base_digest) {
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
                           {"reduction_factor", reduction_factor(width, options.at("size"))},
                           {"residual_before_ln", true},
                           {"scaling", 1.0},
                           {"shared_W_phm", false},
                           {"shared_phm_rule", true},
                           {"stochastic_depth", 0.0},
                           {"use_gating", false}};
  json config = {{"config", bottleneck},       {"hidden_size", width},    {"model_class", "RobertaForMaskedLM"},
                 {"model_name", nullptr},      {"model_type", "roberta"}, {"name", options.at("adapter_name")},
                 {"version", "adapters.1.2.0"}};
  if (!base_digest.empty()) config[base_digest_state] = base_digest;
  return config;
}

json peft_config(const Options& options, const std::string& base_digest) {
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
  if (!base_digest.empty()) config[base_digest_state] = base_digest;
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

}  // namespace

void require_roberta(const RunSettings& settings, const std::string& what) {
  if (settings.model_name == "roberta") return;
  throw Error(ExitCode::config, message(what, " is read and written for the model \"roberta\" alone; this one is \"",
                                        settings.model_name, "\""));
}

std::optional<AdapterFolder> adapter_folder(const RunSettings& settings, const Model& model, const WeightsSet& weights,
                                            const RobertaShape& shape) {
  const Options adapters = options_of(settings, "adapters"), lora = options_of(settings, "lora");
  if (adapters.empty() && lora.empty()) return std::nullopt;
  if (!adapters.empty() && !lora.empty())
    throw Error(ExitCode::config,
                message(weights.path(), ": was trained with adapters and lora together; AdapterHub's ",
                        "format has no place for the one, PEFT's none for the other"));
  if (!adapters.empty() && shape.pre_norm)
    throw Error(ExitCode::config, message(weights.path(), ": model.norm is \"pre\", and AdapterHub's library has no ",
                                          "adapters for such a RoBERTa"));
  const auto found = weights.metadata().find(base_digest_state);
  const std::string digest = found == weights.metadata().end() ? "" : found->second;
  AdapterFolder folder;
  json config = lora.empty() ? adapterhub_config(adapters, shape.width, digest) : peft_config(lora, digest);
  if (lora.empty()) {
    std::set<int64_t> there;
    for (const InsertionSite& site : model.sites()) there.insert(site.layer);
    config["config"]["leave_out"] = without_adapter(adapters.at("layers"), there);
    if (adapters.at("train_norms") == true) folder.left_out.emplace_back("norms");
  }
  folder.left_out.emplace_back("the readout");
  folder.config = config.dump(2) + "\n";
  folder.file = lora.empty() ? "adapter.safetensors" : "adapter_model.safetensors";
  for (const TensorEntry& tensor : weights.tensors())
    if (model.is_inserted(tensor.name) && tensor.name.find(lora.empty() ? ".adapters." : ".lora_") != std::string::npos)
      folder.tensors.emplace_back((lora.empty() ? "" : "base_model.model.") + tensor.name, tensor.name);
  return folder;
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
