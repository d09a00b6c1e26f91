// `interlock import`: a RoBERTa from a Hugging Face folder, as a folder that all commands take.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <set>

#include "launch/command.h"
#include "launch/folders/output_folder.h"
#include "launch/huggingface/adapter_folder.h"
#include "launch/huggingface/huggingface.h"
#include "launch/run/data_identity.h"
#include "launch/run/load_weights.h"
#include "launch/stored_model/model_source.h"
#include "launch/stored_model/stored_run.h"
#include "launch/terminal/interruption.h"
#include "runtime/core/nearest_name.h"
#include "runtime/storage/weights.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;

// What files hold that the model does not need: a buffer of old versions, and the pooler of the pretraining of others.
bool is_harmless(const std::string& name, const RobertaShape& shape) {
  return name.ends_with("embeddings.position_ids") || name.starts_with(shape.root() + ".pooler.");
}

// A tied decoder that is stored all the same must be what it is tied to.
bool is_repeated(const WeightsSet& weights, const TensorEntry& tensor, const RobertaShape& shape) {
  const bool weight = tensor.name == "lm_head.decoder.weight", bias = tensor.name == "lm_head.decoder.bias";
  if (!shape.tied || (!weight && !bias)) return false;
  const std::string twin = weight ? shape.root() + ".embeddings.word_embeddings.weight" : "lm_head.bias";
  const TensorEntry* other = weights.find(twin);
  const bool same = other != nullptr && other->dtype == tensor.dtype && other->shape == tensor.shape &&
                    std::ranges::equal(weights.bytes(*other), weights.bytes(tensor));
  if (!same)
    throw Error(ExitCode::bad_input,
                message(weights.path(), ": ", tensor.name, " differs from ", twin,
                        ", which it is tied to (\"tie_word_embeddings\" is true or missing in config.json)"));
  return true;
}

struct Inventory {
  std::vector<std::pair<std::string, std::string>> taken;
  std::vector<std::string> left_out;
};

// Error(bad_input) names what is missing, too many or of another shape.
Inventory take_inventory(const WeightsSet& weights, const RobertaShape& shape) {
  const auto refuse = [&](const std::string& what) {
    throw Error(ExitCode::bad_input, message(weights.path(), ": ", what));
  };
  Inventory inventory;
  std::set<std::string> wanted;
  std::vector<std::string> missing, unexpected;
  for (const TensorEntry& tensor : huggingface_tensors(shape)) {
    wanted.insert(tensor.name);
    const TensorEntry* found = weights.find(tensor.name);
    // Untied, older files hold the decoder's bias under one of its names.
    const bool twin = !shape.tied && (tensor.name == "lm_head.bias" || tensor.name == "lm_head.decoder.bias");
    if (found == nullptr && twin)
      found = weights.find(tensor.name == "lm_head.bias" ? "lm_head.decoder.bias" : "lm_head.bias");
    if (found == nullptr) {
      missing.push_back(tensor.name);
      continue;
    }
    if (found->shape != tensor.shape)
      refuse(message("tensor ", tensor.name, " has shape ", shape_text(found->shape), ", by config.json it is ",
                     shape_text(tensor.shape)));
    if (found->dtype != "F32" && found->dtype != "F64" && found->dtype != "F16" && found->dtype != "BF16")
      refuse(message("tensor ", tensor.name, " has type ", found->dtype, "; weights are F32, F64, F16 or BF16"));
    inventory.taken.emplace_back(tensor.name, found->name);
  }
  for (const TensorEntry& tensor : weights.tensors()) {
    if (wanted.contains(tensor.name)) continue;
    const bool known = is_harmless(tensor.name, shape) || is_repeated(weights, tensor, shape);
    (known ? inventory.left_out : unexpected).push_back(tensor.name);
  }
  if (!missing.empty()) refuse("tensors are missing: " + some_of(missing));
  if (!unexpected.empty())
    refuse(message("tensors that a ", architecture_of(shape), " does not have: ", some_of(unexpected)));
  return inventory;
}

// GPT-2's vocabulary is smaller than RoBERTa's and has other ids: taken for it, every word would be another one.
void check_tokenizer(const Tokenizer& tokenizer, const RobertaShape& shape, const std::string& folder) {
  const auto refuse = [&](const std::string& what) { throw Error(ExitCode::bad_input, message(folder, ": ", what)); };
  if (tokenizer.vocabulary() > shape.vocabulary)
    refuse(message("a tokenizer of another vocabulary than the model: it has ", tokenizer.vocabulary(),
                   " tokens, the model by config.json ", shape.vocabulary));
  const Tokenizer::Specials specials = tokenizer.specials();
  if (specials.begin != 0 || specials.pad != 1 || specials.end != 2 || specials.mask < 0)
    refuse(message("no tokenizer of a RoBERTa: <s>, <pad>, </s> and <mask> are its tokens ", specials.begin, ", ",
                   specials.pad, ", ", specials.end, " and ", specials.mask,
                   " (-1: none), where the first three must be 0, 1 and 2"));
}

class Import final : public Command {
 public:
  std::string summary() const override { return "take over a RoBERTa from a Hugging Face folder"; }
  void declare(CLI::App& app) override {
    app.add_option("folder", from_, "a folder with config.json and model.safetensors")->required();
    app.add_option("--to", to_, "the folder to make")->required();
    app.add_option("--base", base_,
                   "of a folder with adapter_config.json (AdapterHub's or PEFT's): the model it goes on");
    app.add_flag("--overwrite", overwrite_, "replace the folder of an earlier import");
  }

  int run() override {
    std::error_code absent;
    const fs::path config = fs::path(from_) / "config.json";
    if (!fs::is_directory(from_, absent))
      throw Error(ExitCode::bad_input, message(from_, ": no folder with config.json and model.safetensors"));
    if (is_adapter_folder(from_)) return import_adapter();
    if (!base_.empty())
      throw Error(ExitCode::config, message("--base: ", from_, " holds no adapter_config.json, so it is no adapter"));
    if (!fs::exists(config, absent)) throw Error(ExitCode::bad_input, message(from_, ": holds no config.json"));
    const RobertaShape shape = read_huggingface_config(config.string());
    const auto weights = open_huggingface_weights(from_);
    const Inventory inventory = take_inventory(*weights, shape);
    const auto tokenizer = has_tokenizer(from_) ? Tokenizer::open(from_) : nullptr;
    if (tokenizer) check_tokenizer(*tokenizer, shape, from_);
    const std::string made = write(*weights, inventory, shape, tokenizer.get());

    std::cout << "Wrote " << made << ": " << inventory.taken.size() << " tensors" << (tokenizer ? ", tokenizer" : "")
              << "\n";
    if (!inventory.left_out.empty())
      std::cout << "Left out, as the model does not need them: " << join(inventory.left_out) << "\n";
    if (tokenizer && tokenizer->vocabulary() < shape.vocabulary)
      std::cout << "The tokenizer has " << tokenizer->vocabulary() << " tokens, the model " << shape.vocabulary
                << ": the last ids stand for no token\n";
    if (!tokenizer)
      std::cout << "The folder has no tokenizer; put one into " << (fs::path(made) / "tokenizer").string()
                << " before it is asked anything\n";
    return static_cast<int>(ExitCode::done);
  }

 private:
  // The base with the adapter in it, as a run with the technique would have left it.
  int import_adapter() const {
    if (base_.empty())
      throw Error(ExitCode::config,
                  message(from_, ": an adapter alone is no model; name the one it goes on with --base"));
    const TextModel base = open_text_model(base_, "import");
    const ForeignAdapter adapter = read_adapter_folder(from_, shape_of(base.settings));
    if (!adapter.base_digest.empty() && adapter.base_digest != weights_digest(*base.weights))
      throw Error(ExitCode::bad_input, message(from_, ": was trained on another model than ", base.weights->path(),
                                               " (digest ", adapter.base_digest.substr(0, 12), "...)"));
    const WeightsSet together({adapter.file}, adapter.file->path(), {}, base.weights);
    std::vector<std::pair<std::string, std::string>> tensors = adapter.tensors;
    for (const TensorEntry& tensor : base.weights->tensors())
      if (!tensor.name.starts_with("heads.") && !base.model->is_inserted(tensor.name))
        tensors.emplace_back(tensor.name, tensor.name);
    std::map<std::string, std::string> metadata = base.weights->metadata();
    for (const char* of_its_run : {step_metadata, base_state, base_digest_state}) metadata.erase(of_its_run);
    metadata["interlock.config"] = model_config(*base.weights, {}) + "\n" + adapter.technique;
    const std::string made = write_folder(together, tensors, metadata, base.tokenizer.get());
    load_model(open_text_model(made, "import"));  // refuses what does not fit together
    std::cout << "Wrote " << made << ": " << adapter.tensors.size() << " tensors of the adapter and "
              << tensors.size() - adapter.tensors.size() << " of " << base.weights->path() << "\n";
    return static_cast<int>(ExitCode::done);
  }

  // Returns the folder's path.
  std::string write(const WeightsSet& weights, const Inventory& inventory, const RobertaShape& shape,
                    const Tokenizer* tokenizer) const {
    std::map<std::string, std::string> metadata = {{"interlock.config", interlock_config(shape)}};
    if (!shape.labels.empty()) metadata[labels_metadata] = labels_text(shape.labels);
    if (tokenizer != nullptr) metadata[tokenizer_metadata] = tokenizer->fingerprint();
    return write_folder(weights, inventory.taken, metadata, tokenizer);
  }

  std::string write_folder(const WeightsSet& weights, const std::vector<std::pair<std::string, std::string>>& tensors,
                           const std::map<std::string, std::string>& metadata, const Tokenizer* tokenizer) const {
    const Interruption interruption;
    try {
      OutputFolder folder(to_, overwrite_, {"weights.safetensors", "tokenizer"});
      copy_tensors(weights, tensors, folder.file("weights.safetensors"), metadata, [&] { interruption.check(); });
      if (tokenizer != nullptr) tokenizer->save(folder.file("tokenizer"));
      folder.commit();
      return folder.path();
    } catch (const Interrupted& interrupted) {
      end_by(interrupted);
    }
  }

  std::string from_, to_, base_;
  bool overwrite_ = false;
};

const Registration<Command> registered("import", [] { return std::make_unique<Import>(); });

}  // namespace
}  // namespace interlock
