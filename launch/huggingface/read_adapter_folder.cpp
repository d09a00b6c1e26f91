#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "launch/huggingface/adapter_folder.h"
#include "launch/run/data_identity.h"
#include "runtime/core/error.h"
#include "runtime/core/nearest_name.h"
#include "runtime/data/tokenizer/strict_json.h"
#include "runtime/storage/content_hash.h"

namespace interlock {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

bool is_of_readout(const std::string& name) { return name.starts_with("classifier.") || name.starts_with("lm_head."); }

class Reader {
 public:
  Reader(const std::string& folder, const RobertaShape& shape) : folder_(folder), shape_(shape) {
    path_ = (fs::path(folder) / "adapter_config.json").string();
    all_ = read_strict_json(path_);
    if (!all_.is_object()) refuse("is no JSON object");
  }

  ForeignAdapter read() {
    const bool peft = all_.contains("peft_type");
    adapter_.file = open(peft ? "adapter_model.safetensors" : "adapter.safetensors");
    adapter_.technique = peft ? low_rank() : bottleneck();
    const auto& metadata = adapter_.file->metadata();
    if (const auto older = all_.find(base_digest_state); older != all_.end() && older->is_string())
      adapter_.base_digest = older->get<std::string>();  // in folders of before PEFT warned of the key
    if (const auto digest = metadata.find(base_digest_state); digest != metadata.end())
      adapter_.base_digest = digest->second;
    if (adapter_.labels.empty())
      adapter_.labels = stored_labels(WeightsSet({adapter_.file}, adapter_.file->path(), metadata));
    return std::move(adapter_);
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    throw Error(ExitCode::bad_input, message(path_, ": ", what));
  }
  // `fallback` is what the library takes for a key that is not there.
  json value(const json& from, const std::string& key, const json& fallback) const {
    const auto found = from.find(key);
    return found == from.end() || found->is_null() ? fallback : *found;
  }
  double number(const json& from, const std::string& key, double fallback) const {
    const json found = value(from, key, fallback);
    if (!found.is_number()) refuse(message("\"", key, "\" is ", found.dump(), "; a number is expected"));
    return found.get<double>();
  }
  std::string text(const json& from, const std::string& key, const std::string& fallback) const {
    const json found = value(from, key, fallback);
    if (!found.is_string()) refuse(message("\"", key, "\" is ", found.dump(), "; a text is expected"));
    return found.get<std::string>();
  }
  void require(const json& from, const std::string& key, const json& wanted) const {
    if (const json found = value(from, key, wanted); found != wanted)
      refuse(message("\"", key, "\" is ", found.dump(), "; only ", wanted.dump(), " is supported"));
  }

  std::shared_ptr<const SafetensorsFile> open(const std::string& name) const {
    const fs::path file = fs::path(folder_) / name;
    std::error_code absent;
    if (!fs::exists(file, absent))
      throw Error(ExitCode::bad_input, message(folder_, ": holds no ", name, "; what is pickled is not read: save it ",
                                               "again as safetensors"));
    std::shared_ptr<const SafetensorsFile> opened = SafetensorsFile::open(file.string());
    require_content(*opened);
    return opened;
  }

  // Takes a tensor of the readout, which transformers call by one of two names, or of the norm below it; false when it
  // is none.
  bool take_readout(const std::shared_ptr<const SafetensorsFile>& file, const std::string& name,
                    const std::string& stored) {
    if (!is_of_readout(name) && !name.starts_with(shape_.root() + ".LayerNorm.")) return false;
    if (name.find(".lora_") != std::string::npos)
      throw Error(ExitCode::bad_input,
                  message(file->path(), ": ", stored, " updates the readout; only updates of the ",
                          "encoder's layers are supported (modules_to_save keeps a readout whole)"));
    if (adapter_.readout_file && adapter_.readout_file != file)
      throw Error(ExitCode::bad_input, message(file->path(), ": ", stored, " is of a readout, and so are tensors of ",
                                               adapter_.readout_file->path(), "; one of the files may hold it"));
    adapter_.readout_file = file;
    // Saved under both names. Where the decoder is not tied they are two tensors in transformers, which computes with,
    // and so trains, the decoder's.
    const std::string bias = "lm_head.bias", twin = "lm_head.decoder.bias";
    if (name == twin) std::erase_if(adapter_.readout, [&](const auto& one) { return one.first == bias; });
    const bool is_superseded =
        name == bias && std::ranges::any_of(adapter_.readout, [&](const auto& one) { return one.first == bias; });
    if (!is_superseded) adapter_.readout.emplace_back(name == twin ? bias : name, stored);
    return true;
  }

  // Takes the tensors whose names are `prefix` or, where the whole model was the encoder, lack "roberta.".
  // (roberta_prelayernorm. of a pre-norm base)
  void take(const std::string& prefix) {
    for (const TensorEntry& tensor : adapter_.file->tensors()) {
      std::string name = tensor.name.starts_with(prefix) ? tensor.name.substr(prefix.size()) : tensor.name;
      if (take_readout(adapter_.file, name, tensor.name)) continue;
      if (!name.starts_with(shape_.root() + ".")) name = shape_.root() + "." + name;
      const std::string layers = shape_.root() + ".encoder.layer.";
      if (!name.starts_with(layers)) refuse_tensor(tensor, "belongs to no layer of an encoder");
      const int64_t layer = std::atoll(name.c_str() + layers.size());
      if (layer >= shape_.layers)
        refuse_tensor(tensor, message("is of layer ", layer, "; the base has layers 0 to ", shape_.layers - 1));
      layers_.insert(layer);
      adapter_.tensors.emplace_back(name, tensor.name);
    }
    if (adapter_.tensors.empty())
      throw Error(ExitCode::bad_input, message(adapter_.file->path(), ": holds no tensors"));
  }
  [[noreturn]] void refuse_tensor(const TensorEntry& tensor, const std::string& what) const {
    throw Error(ExitCode::bad_input, message(adapter_.file->path(), ": ", tensor.name, " ", what));
  }

  // The rows of the first matrix of this name: the size of a bottleneck, the rank of an update.
  int64_t rows_of(const std::string& ending, bool check_width) const {
    for (const TensorEntry& tensor : adapter_.file->tensors()) {
      if (!tensor.name.ends_with(ending) || tensor.shape.size() != 2) continue;
      if (check_width && tensor.shape[1] != shape_.width)
        refuse_tensor(tensor, message("is for a model of width ", tensor.shape[1], "; the base has ", shape_.width));
      return tensor.shape[0];
    }
    throw Error(ExitCode::bad_input, message(adapter_.file->path(), ": holds no ", ending));
  }

  std::string bottleneck() {
    const auto found = all_.find("config");
    if (found == all_.end() || !found->is_object()) refuse("has no \"config\"");
    const json& config = *found;
    if (all_.find("version") == all_.end())
      refuse("has no \"version\": it is of the older library, whose names of activations mean others");
    require(all_, "model_type", "roberta");
    if (shape_.pre_norm) refuse("is of a post-norm RoBERTa, and the base is pre-norm (model.norm = \"pre\")");
    for (const char* off : {"is_parallel", "ln_before", "ln_after", "phm_layer", "use_gating", "cross_adapter",
                            "adapter_residual_before_ln"})
      require(config, off, false);
    require(config, "scaling", 1.0);
    require(config, "original_ln_after", true);
    require(config, "residual_before_ln", true);
    const bool inside = value(config, "mh_adapter", false) == true,
               of_norm = value(config, "original_ln_before", false) == true;
    require(config, "output_adapter", true);
    if (inside == of_norm)
      refuse(message("\"mh_adapter\" is ", inside ? "true" : "false", " and \"original_ln_before\" is ",
                     of_norm ? "true" : "false",
                     "; supported are Houlsby's (true, false) and Pfeiffer's (false, true)"));
    require(config, "inv_adapter", nullptr);
    const std::string activation = text(config, "non_linearity", "swish"), name = text(all_, "name", "interlock");
    const std::vector<std::string> known{"gelu", "relu", "swish"};
    if (std::ranges::find(known, activation) == known.end())
      refuse(message("\"non_linearity\" is \"", activation, "\"; supported are ", join(known)));
    take("");
    for (const auto& [global, stored] : adapter_.tensors)
      if (global.find(".adapters." + name + ".") == std::string::npos)
        throw Error(ExitCode::bad_input, message(adapter_.file->path(), ": ", stored, " is of another adapter than \"",
                                                 name, "\", which adapter_config.json names"));
    const int64_t size = rows_of(".adapter_down.0.weight", true);
    require(all_, "hidden_size", shape_.width);
    readout_of_its_own();
    std::string layers;
    for (const int64_t layer : layers_) layers += (layers.empty() ? "" : ", ") + std::to_string(layer);
    return message("[[technique]]\nname = \"adapters\"\nvariant = \"", of_norm ? "pfeiffer" : "houlsby",
                   "\"\nsize = ", size, "\nlayers = [", layers, "]\nactivation = \"", activation,
                   "\"\nadapter_name = ", json(name).dump(), "\n");
  }

  // AdapterHub's: the readout of the class of model, in two files beside the adapter's.
  void readout_of_its_own() {
    const fs::path config = fs::path(folder_) / "head_config.json";
    std::error_code absent;
    if (!fs::exists(config, absent)) return;
    path_ = config.string();
    const json head = read_strict_json(path_);
    const json kind = head.is_object() ? value(head, "model_class", "") : json();
    RobertaShape masked, labels;
    labels.objective = Objective::classification;
    if (kind != architecture_of(masked) && kind != architecture_of(labels))
      refuse(message("\"model_class\" is ", kind.dump(), "; readouts of ", architecture_of(masked), " and ",
                     architecture_of(labels), " are supported"));
    const auto file = open("model_head.safetensors");
    for (const TensorEntry& tensor : file->tensors())
      if (!take_readout(file, tensor.name, tensor.name))
        throw Error(ExitCode::bad_input, message(file->path(), ": ", tensor.name, " belongs to no readout of ", kind));
    const json numbers = value(head, "label2id", json::object());
    adapter_.labels.resize(numbers.size());
    for (const auto& [label, number] : numbers.items()) {
      const bool fits = numbers.is_object() && number.is_number_integer() && number >= 0 && number < numbers.size();
      if (!fits || !adapter_.labels[number.get<size_t>()].empty())
        refuse(message("\"label2id\" is ", numbers.dump(), "; names with the numbers 0, 1, ... are expected"));
      adapter_.labels[number.get<size_t>()] = label;
    }
  }

  // Of PEFT's options those that change what is computed, beside what they are where they change nothing.
  void require_plain_updates() const {
    require(all_, "peft_type", "LORA");
    require(all_, "bias", "none");
    for (const char* off : {"fan_in_fan_out", "use_rslora", "use_dora", "use_qalora", "lora_bias"})
      require(all_, off, false);
    for (const char* none : {"rank_pattern", "alpha_pattern"}) require(all_, none, json::object());
    for (const char* none : {"alora_invocation_tokens", "layer_replication", "target_parameters",
                             "trainable_token_indices", "use_bdlora", "arrow_config", "monteclora_config"})
      require(all_, none, nullptr);
    // Others take their start out of the base's weights, which are then others than the base's own.
    const json start = value(all_, "init_lora_weights", true);
    if (!start.is_boolean() && start != "gaussian" && start != "eva" && start != "orthogonal")
      refuse(message("\"init_lora_weights\" is ", start.dump(), ", which changes the base's weights as well; save it ",
                     "again with PEFT's path_initial_model_for_weight_conversion"));
    const json excluded = value(all_, "exclude_modules", json::array());
    for (const json& module : excluded.is_array() ? excluded : json::array({excluded}))
      if (!module.is_string() || !is_of_readout(module.get<std::string>() + "."))
        refuse(message("\"exclude_modules\" has ", module.dump(), "; only modules of the readout are supported"));
  }

  // Names of the layers that have updates, as `lora.targets` takes them: as listed; where PEFT chose them by an
  // expression or by number, those that there are updates of.
  json updated_modules() const {
    const json named = value(all_, "target_modules", json::array()),
               chosen = value(all_, "layers_to_transform", nullptr);
    const bool is_list = named.is_array() && !named.empty() && std::ranges::all_of(named, &json::is_string);
    if (!is_list && !named.is_string()) refuse("\"target_modules\" is neither a list of names nor an expression");
    const bool of_all_layers = chosen.is_null() || (chosen.is_array() && chosen.empty());
    if (is_list && of_all_layers) return named;
    const json numbers = chosen.is_number_integer() ? json::array({chosen}) : chosen;
    for (const int64_t layer : layers_)
      if (!of_all_layers && std::ranges::find(numbers, json(layer)) == numbers.end())
        refuse(message("\"layers_to_transform\" is ", chosen.dump(), ", but there are updates of layer ", layer));
    std::set<std::string> modules;
    for (const auto& [name, stored] : adapter_.tensors)
      modules.insert(name.substr(shape_.root().size() + 1, name.rfind(".lora_") - shape_.root().size() - 1));
    return modules;
  }

  std::string low_rank() {
    require_plain_updates();
    const double alpha = number(all_, "lora_alpha", 8.0), dropout = number(all_, "lora_dropout", 0.0);
    take("base_model.model.");
    const json targets = updated_modules();
    const int64_t rank = rows_of(".lora_A.weight", false);
    if (number(all_, "r", static_cast<double>(rank)) != static_cast<double>(rank))
      refuse(message("\"r\" is ", all_["r"].dump(), ", where the tensors have rank ", rank));
    return message("[[technique]]\nname = \"lora\"\nrank = ", rank, "\nalpha = ", json(alpha).dump(),
                   "\ntargets = ", targets.dump(), "\ndropout = ", json(dropout).dump(), "\n");
  }

  std::string folder_, path_;
  RobertaShape shape_;
  json all_;
  ForeignAdapter adapter_;
  std::set<int64_t> layers_;
};

}  // namespace

bool is_adapter_folder(const std::string& folder) {
  std::error_code absent;
  return fs::exists(fs::path(folder) / "adapter_config.json", absent);
}

ForeignAdapter read_adapter_folder(const std::string& folder, const RobertaShape& shape) {
  return Reader(folder, shape).read();
}

}  // namespace interlock
