#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "launch/huggingface/adapter_folder.h"
#include "runtime/core/error.h"
#include "runtime/core/nearest_name.h"
#include "runtime/data/tokenizer/strict_json.h"
#include "runtime/storage/content_hash.h"

namespace interlock {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

class Reader {
 public:
  Reader(const std::string& folder, const RobertaShape& shape) : folder_(folder), shape_(shape) {
    path_ = (fs::path(folder) / "adapter_config.json").string();
    all_ = read_strict_json(path_);
    if (!all_.is_object()) refuse("is no JSON object");
  }

  ForeignAdapter read() {
    const bool peft = all_.contains("peft_type");
    open(peft ? "adapter_model.safetensors" : "adapter.safetensors");
    adapter_.technique = peft ? low_rank() : bottleneck();
    if (const auto digest = all_.find(base_digest_state); digest != all_.end() && digest->is_string())
      adapter_.base_digest = digest->get<std::string>();
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
  void require(const json& from, const std::string& key, const json& wanted) const {
    if (const json found = value(from, key, wanted); found != wanted)
      refuse(message("\"", key, "\" is ", found.dump(), "; only ", wanted.dump(), " is supported"));
  }

  void open(const std::string& name) {
    const fs::path file = fs::path(folder_) / name;
    std::error_code absent;
    if (!fs::exists(file, absent))
      throw Error(ExitCode::bad_input, message(folder_, ": holds no ", name, "; what is pickled is not read: save it ",
                                               "again as safetensors"));
    adapter_.file = SafetensorsFile::open(file.string());
    require_content(*adapter_.file);
  }

  // Takes the tensors whose names are `prefix` or, where the whole model was the encoder, lack "roberta.".
  // (roberta_prelayernorm. of a pre-norm base)
  void take(const std::string& prefix) {
    for (const TensorEntry& tensor : adapter_.file->tensors()) {
      std::string name = tensor.name.starts_with(prefix) ? tensor.name.substr(prefix.size()) : tensor.name;
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
    const std::string activation = value(config, "non_linearity", "swish").get<std::string>();
    const std::vector<std::string> known{"gelu", "relu", "swish"};
    if (std::ranges::find(known, activation) == known.end())
      refuse(message("\"non_linearity\" is \"", activation, "\"; supported are ", join(known)));
    take("");
    std::string layers;
    for (const int64_t layer : layers_) layers += (layers.empty() ? "" : ", ") + std::to_string(layer);
    return message("[[technique]]\nname = \"adapters\"\nvariant = \"", of_norm ? "pfeiffer" : "houlsby",
                   "\"\nsize = ", rows_of(".adapter_down.0.weight", true), "\nlayers = [", layers, "]\nactivation = \"",
                   activation, "\"\nadapter_name = ", json(value(all_, "name", "interlock")).dump(), "\n");
  }

  std::string low_rank() {
    require(all_, "peft_type", "LORA");
    require(all_, "bias", "none");
    for (const char* off : {"fan_in_fan_out", "use_rslora", "use_dora"}) require(all_, off, false);
    const json targets = value(all_, "target_modules", json::array());
    if (!targets.is_array() || targets.empty()) refuse("\"target_modules\" is no list of names");
    const double alpha = value(all_, "lora_alpha", 8.0).get<double>(),
                 dropout = value(all_, "lora_dropout", 0.0).get<double>();
    take("base_model.model.");
    return message("[[technique]]\nname = \"lora\"\nrank = ", rows_of(".lora_A.weight", false),
                   "\nalpha = ", json(alpha).dump(), "\ntargets = ", targets.dump(),
                   "\ndropout = ", json(dropout).dump(), "\n");
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
