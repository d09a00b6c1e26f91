// The tensors of a Hugging Face folder: which there are, where they lie, and copying them.

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "launch/huggingface/huggingface.h"
#include "runtime/core/error.h"
#include "runtime/core/readable_file.h"
#include "runtime/data/tokenizer/strict_json.h"
#include "runtime/storage/content_hash.h"
#include "runtime/storage/tensors/tensor_entry.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;

class Names {
 public:
  void add(const std::string& name, std::vector<int64_t> shape) {
    tensors_.push_back({name, "", std::move(shape), 0, 0});
  }
  void linear(const std::string& name, int64_t inputs, int64_t outputs) {
    add(name + ".weight", {outputs, inputs});
    add(name + ".bias", {outputs});
  }
  void norm(const std::string& name, int64_t width) {
    add(name + ".weight", {width});
    add(name + ".bias", {width});
  }
  std::vector<TensorEntry> take() { return std::move(tensors_); }

 private:
  std::vector<TensorEntry> tensors_;
};

// The files that an index names. A name with a folder in it could lead anywhere.
std::set<std::string> files_of_index(const std::string& path, const nlohmann::json& index) {
  const auto refuse = [&](const std::string& what) { throw Error(ExitCode::bad_input, message(path, ": ", what)); };
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object())
    refuse("has no object \"weight_map\"");
  std::set<std::string> files;
  for (const auto& [tensor, file] : index["weight_map"].items()) {
    if (!file.is_string()) refuse(message("the file of tensor ", tensor, " is ", file.dump(), ", no text"));
    const auto& name = file.get_ref<const std::string&>();
    if (fs::path(name).filename() != name || name == "." || name == "..")
      refuse(message("the file of tensor ", tensor, " is ", file.dump(), "; a name without folders is expected"));
    files.insert(name);
  }
  return files;
}

// One that we have exported carries a hash.
std::shared_ptr<const SafetensorsFile> open_whole(const fs::path& path) {
  auto file = SafetensorsFile::open(path.string());
  require_content(*file);
  return file;
}

std::shared_ptr<const WeightsSet> open_parts(const fs::path& folder, const std::string& index_path) {
  const nlohmann::json index = read_strict_json(index_path);
  std::vector<std::shared_ptr<const SafetensorsFile>> parts;
  std::map<std::string, const SafetensorsFile*> by_name;
  for (const std::string& name : files_of_index(index_path, index)) {
    parts.push_back(open_whole(folder / name));
    by_name[name] = parts.back().get();
  }
  for (const auto& [tensor, file] : index["weight_map"].items())
    if (by_name.at(file.get<std::string>())->find(tensor) == nullptr)
      throw Error(ExitCode::bad_input,
                  message(index_path, ": tensor ", tensor, " is not in ", file.get<std::string>(), " as it says"));
  return std::make_shared<const WeightsSet>(std::move(parts), index_path, std::map<std::string, std::string>{});
}

}  // namespace

std::vector<TensorEntry> huggingface_tensors(const RobertaShape& shape) {
  Names names;
  const int64_t width = shape.width;
  const std::string root = shape.root();
  names.add(root + ".embeddings.word_embeddings.weight", {shape.vocabulary, width});
  names.add(root + ".embeddings.position_embeddings.weight", {shape.max_length + 2, width});
  names.add(root + ".embeddings.token_type_embeddings.weight", {shape.token_types, width});
  names.norm(root + ".embeddings.LayerNorm", width);
  for (int64_t i = 0; i < shape.layers; ++i) {
    const std::string layer = root + ".encoder.layer." + std::to_string(i) + ".";
    for (const char* part : {"query", "key", "value"}) names.linear(layer + "attention.self." + part, width, width);
    names.linear(layer + "attention.output.dense", width, width);
    names.norm(layer + (shape.pre_norm ? "attention.LayerNorm" : "attention.output.LayerNorm"), width);
    names.linear(layer + "intermediate.dense", width, shape.feed_forward);
    names.linear(layer + "output.dense", shape.feed_forward, width);
    names.norm(layer + (shape.pre_norm ? "intermediate.LayerNorm" : "output.LayerNorm"), width);
  }
  if (shape.pre_norm) names.norm(root + ".LayerNorm", width);
  if (shape.objective != Objective::masked) {
    names.linear("classifier.dense", width, width);
    names.linear("classifier.out_proj", width, shape.classes());
    return names.take();
  }
  names.add("lm_head.bias", {shape.vocabulary});
  names.linear("lm_head.dense", width, width);
  names.norm("lm_head.layer_norm", width);
  if (!shape.tied) names.linear("lm_head.decoder", width, shape.vocabulary);
  return names.take();
}

std::shared_ptr<const WeightsSet> open_huggingface_weights(const std::string& folder) {
  const fs::path whole = fs::path(folder) / "model.safetensors", index = whole.string() + ".index.json";
  if (is_named(whole)) {
    const auto file = open_whole(whole);
    return std::make_shared<const WeightsSet>(std::vector<std::shared_ptr<const SafetensorsFile>>{file}, whole.string(),
                                              file->metadata());
  }
  if (is_named(index)) return open_parts(folder, index.string());
  for (const char* pickled : {"pytorch_model.bin", "pytorch_model.bin.index.json"})
    if (is_named(fs::path(folder) / pickled))
      throw Error(ExitCode::bad_input,
                  message((fs::path(folder) / pickled).string(),
                          ": a pickle can run any program when it is read, so it is not read. Save the model again as "
                          "safetensors, with its class of transformers: "
                          "RobertaForMaskedLM.from_pretrained(DIR).save_pretrained(DIR, "
                          "safe_serialization=True)"));
  throw Error(ExitCode::bad_input, message(folder, ": holds no model.safetensors"));
}

void copy_tensors(const WeightsSet& weights, const std::vector<std::pair<std::string, std::string>>& tensors,
                  const std::string& path, const std::map<std::string, std::string>& metadata,
                  const std::function<void()>& between_tensors, const std::map<std::string, at::Tensor>& replaced,
                  const std::set<std::string>& turned, const std::map<std::string, at::Tensor>& added) {
  std::vector<TensorEntry> entries;
  std::map<std::string, const TensorEntry*> source;
  for (const auto& [name, stored] : tensors) {
    source[name] = weights.find(stored);
    entries.push_back(*source[name]);
    entries.back().name = name;
    if (turned.contains(name)) std::ranges::reverse(entries.back().shape);
  }
  for (const auto& [name, values] : added) entries.push_back({name, "F32", values.sizes().vec(), 0, 0});
  SafetensorsWriter writer(path, entries, metadata);
  for (const TensorEntry& entry : writer.order()) {
    if (const auto fresh = added.find(entry.name); fresh != added.end()) {
      const at::Tensor values = fresh->second.to(at::kFloat).contiguous();
      writer.write(entry.name,
                   {static_cast<const std::byte*>(values.data_ptr()), static_cast<size_t>(values.nbytes())});
      between_tensors();
      continue;
    }
    const auto other = replaced.find(entry.name);
    const bool turns = turned.contains(entry.name);
    if (other != replaced.end() || turns) {
      const TensorEntry& stored = *source.at(entry.name);
      at::Tensor values =
          other != replaced.end() ? other->second : tensor_view(stored, weights.bytes(stored), weights.path());
      values = (turns ? values.t() : values).contiguous();
      writer.write(entry.name,
                   {static_cast<const std::byte*>(values.data_ptr()), static_cast<size_t>(values.nbytes())});
    } else {
      writer.write(entry.name, weights.bytes(*source.at(entry.name)));
    }
    between_tensors();
  }
  writer.commit();
}

}  // namespace interlock
