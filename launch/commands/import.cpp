// `interlock import`: a model from a Hugging Face folder, as a folder that all commands take.

#include <ATen/ops/all.h>
#include <ATen/ops/isfinite.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <functional>
#include <iostream>
#include <set>

#include "launch/command.h"
#include "launch/folders/output_apart.h"
#include "launch/folders/output_folder.h"
#include "launch/huggingface/adapter_folder.h"
#include "launch/huggingface/folder_model.h"
#include "launch/huggingface/huggingface.h"
#include "launch/huggingface/inventory.h"
#include "launch/huggingface/start_config.h"
#include "launch/run/data_identity.h"
#include "launch/run/load_weights.h"
#include "launch/stored_model/model_source.h"
#include "launch/stored_model/stored_run.h"
#include "launch/terminal/interruption.h"
#include "runtime/core/log.h"
#include "runtime/core/nearest_name.h"
#include "runtime/storage/atomic_file.h"
#include "runtime/storage/tensors/tensor_entry.h"
#include "runtime/storage/weights.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;

// Of those that are taken: the ones with nan or infinity among their values.
std::vector<std::string> not_finite(const WeightsSet& weights,
                                    const std::vector<std::pair<std::string, std::string>>& taken) {
  std::vector<std::string> names;
  for (const auto& [name, stored] : taken) {
    const TensorEntry& entry = *weights.find(stored);
    const at::Tensor values = tensor_view(entry, weights.bytes(entry), weights.path());
    if (values.is_floating_point() && !at::isfinite(values).all().item<bool>()) names.push_back(stored);
  }
  return names;
}

class Import final : public Command {
 public:
  std::string summary() const override { return "take over a RoBERTa or a GPT-2 from a Hugging Face folder"; }
  void declare(CLI::App& app) override {
    app.add_option("folder", from_, "a folder with config.json and model.safetensors")->required();
    app.add_option("--to", to_, "the folder to make")->type_name("DIR")->required();
    app.add_option("--base", base_,
                   "of a folder with adapter_config.json (AdapterHub's or PEFT's): the model it goes on")
        ->type_name("PATH");
    app.add_flag("--overwrite", overwrite_, "replace the folder of an earlier import");
  }

  int run() override {
    refuse_over_sources("--to", to_, {from_, base_});
    std::error_code absent;
    const fs::path config = fs::path(from_) / "config.json";
    if (!fs::is_directory(from_, absent))
      throw Error(ExitCode::bad_input, message(from_, ": no folder with config.json and model.safetensors"));
    if (is_adapter_folder(from_)) return import_adapter();
    if (!base_.empty())
      throw Error(ExitCode::config, message("--base: ", from_, " holds no adapter_config.json, so it is no adapter"));
    if (!fs::exists(config, absent)) throw Error(ExitCode::bad_input, message(from_, ": holds no config.json"));
    const FolderModel model = read_folder_model(config.string());
    const auto weights = open_huggingface_weights(from_);
    const Inventory inventory = take_inventory(*weights, model);
    const auto tokenizer = !model.reads_bytes && has_tokenizer(from_) ? Tokenizer::open(from_) : nullptr;
    if (tokenizer) check_tokenizer(*tokenizer, model, from_);
    const std::string made = write(*weights, inventory, model, tokenizer.get());

    std::cout << "Wrote " << made << ": " << inventory.taken.size() << " tensors" << (tokenizer ? ", tokenizer" : "")
              << ", config.toml to train it on\n";
    if (const auto odd = not_finite(*weights, inventory.taken); !odd.empty())
      log_warning(
          message("not all values are finite numbers (nan or infinity), so the model tells nothing: ", join(odd)));
    if (const std::string fresh = fresh_text(inventory); !fresh.empty()) std::cout << "Note: " << fresh << "\n";
    if (!inventory.left_out.empty())
      std::cout << "Left out, as the model does not need them: " << join(inventory.left_out) << "\n";
    if (tokenizer && tokenizer->vocabulary() < model.vocabulary)
      std::cout << "The tokenizer has " << tokenizer->vocabulary() << " tokens, the model " << model.vocabulary
                << ": the last ids stand for no token\n";
    if (model.reads_bytes) std::cout << "It reads bytes: no tokenizer belongs to it\n";
    if (!tokenizer && !model.reads_bytes)
      std::cout << "The folder has no tokenizer; put one into " << (fs::path(made) / "tokenizer").string()
                << " before it is asked anything\n";
    return static_cast<int>(ExitCode::done);
  }

 private:
  // The base with the readout of the adapter, where that has one: what it scores, and how its classes are called.
  RobertaShape shape_with(const TextModel& base, const ForeignAdapter& adapter) const {
    RobertaShape shape = shape_of(base);
    const auto first_of = [&](const std::string& begin) {
      return std::ranges::find_if(adapter.readout, [&](const auto& one) { return one.first.starts_with(begin); });
    };
    const auto none = adapter.readout.end(), scores = first_of("classifier.out_proj.weight");
    if (scores == none && first_of("lm_head.") == none) return shape;
    if (scores == none) {
      shape.objective = Objective::masked;
      shape.labels.clear();
      return shape;
    }
    const TensorEntry* entry = adapter.readout_file->find(scores->second);
    const size_t classes = entry->shape.empty() ? 0 : static_cast<size_t>(entry->shape[0]);
    shape.objective = classes == 1 ? Objective::regression : Objective::classification;
    shape.labels = classes == 1 ? std::vector<std::string>{} : labels_of(base, adapter, classes);
    shape.tied = false;
    return shape;
  }

  // As the adapter says, else as the base does, else as transformers call them.
  std::vector<std::string> labels_of(const TextModel& base, const ForeignAdapter& adapter, size_t classes) const {
    if (!adapter.labels.empty() && adapter.labels.size() != classes)
      throw Error(ExitCode::bad_input, message(adapter.readout_file->path(), ": scores ", classes, " classes, where ",
                                               "the names that stand beside it are of ", adapter.labels.size()));
    if (!adapter.labels.empty()) return adapter.labels;
    if (base.labels.size() == classes) return base.labels;
    std::vector<std::string> labels;
    for (size_t i = 0; i < classes; ++i) labels.push_back("LABEL_" + std::to_string(i));
    return labels;
  }

  // Before the folder has its name: the adapter and the base make a whole model.
  void require_fit(const std::string& folder, const TextModel& base) const {
    try {
      load_model(open_text_model(folder, "import"));
    } catch (const Error& error) {
      std::string what = error.what();
      const size_t place = what.find(": ");
      if (place != std::string::npos && what.substr(0, place).find(".tmp.") != std::string::npos)
        what = what.substr(place + 2);  // of a folder that is gone by the time that this is read
      throw Error(error.code(), message(from_, " does not fit ", base.weights->path(), ": ", what));
    }
  }

  // Whether a tensor of the readout is one of the base under a second name, so that there is no place for it.
  static bool is_tied(const std::pair<std::string, std::string>& tensor, const ForeignAdapter& adapter,
                      const TextModel& base) {
    const auto tie = base.model->tie();
    if (!tie || tensor.first != tie->readout) return false;
    const TensorEntry *here = adapter.readout_file->find(tensor.second), *twin = base.weights->find(tie->body);
    if (twin == nullptr || here->dtype != twin->dtype ||
        !std::ranges::equal(adapter.readout_file->bytes(*here), base.weights->bytes(*twin)))
      throw Error(ExitCode::bad_input,
                  message(adapter.readout_file->path(), ": ", tensor.second, " differs from ", tie->body, " of ",
                          base.weights->path(), ", which that model ties it to (model.tie_embeddings): an untied ",
                          "base takes it"));
    return true;
  }

  // The base with the adapter in it, as a run with the technique would have left it.
  int import_adapter() const {
    if (base_.empty())
      throw Error(ExitCode::config,
                  message(from_, ": an adapter alone is no model; name the one it goes on with --base"));
    const TextModel base = open_text_model(base_, "import");
    require_roberta(base.settings, "an adapter");
    const ForeignAdapter adapter = read_adapter_folder(from_, shape_of(base.settings));
    if (!adapter.base_digest.empty() && adapter.base_digest != weights_digest(*base.weights))
      throw Error(ExitCode::bad_input, message(from_, ": was trained on another model than ", base.weights->path(),
                                               " (digest ", adapter.base_digest.substr(0, 12), "...)"));
    const RobertaShape shape = shape_with(base, adapter);
    std::vector<std::shared_ptr<const SafetensorsFile>> files{adapter.file};
    if (adapter.readout_file && adapter.readout_file != adapter.file) files.push_back(adapter.readout_file);
    const WeightsSet together(std::move(files), adapter.file->path(), {}, base.weights);
    std::vector<std::pair<std::string, std::string>> tensors = adapter.tensors;
    for (const auto& one : adapter.readout)
      if (!is_tied(one, adapter, base)) tensors.push_back(one);
    const size_t of_adapter = tensors.size();
    std::set<std::string> replaced;
    for (const auto& [name, stored] : adapter.readout) replaced.insert(name);
    for (const auto& [second, name] : base.model->aliases())  // of one tensor, which files hold under both names
      if (replaced.contains(name) || replaced.contains(second)) replaced.insert({name, second});
    const bool same_objective = shape.objective == base.objective;  // else the base's readout is of no use
    for (const TensorEntry& tensor : base.weights->tensors())
      if (!tensor.name.starts_with("heads.") && !base.model->is_inserted(tensor.name) &&
          !replaced.contains(tensor.name) && (same_objective || tensor.name.starts_with(shape.root() + ".")))
        tensors.emplace_back(tensor.name, tensor.name);
    std::map<std::string, std::string> metadata = base.weights->metadata();
    for (const char* of_its_run : {step_metadata, base_state, base_digest_state}) metadata.erase(of_its_run);
    metadata["interlock.config"] =
        (same_objective ? model_config(*base.weights, {}) : interlock_config(shape)) + "\n" + adapter.technique;
    metadata.erase(labels_metadata);
    if (!shape.labels.empty()) metadata[labels_metadata] = labels_text(shape.labels);
    const auto check = [&](const std::string& folder) { require_fit(folder, base); };
    const std::string made = write_folder(together, tensors, metadata, base.tokenizer.get(), {}, {}, "", check);
    std::cout << "Wrote " << made << ": " << of_adapter << " tensors of the adapter"
              << (adapter.readout.empty() ? "" : ", its readout among them,") << " and " << tensors.size() - of_adapter
              << " of " << base.weights->path() << "\n";
    if (shape.labels != base.labels && !shape.labels.empty())
      std::cout << "Its classes are " << some_of(shape.labels) << "\n";
    return static_cast<int>(ExitCode::done);
  }

  // Returns the folder's path.
  std::string write(const WeightsSet& weights, const Inventory& inventory, const FolderModel& model,
                    const Tokenizer* tokenizer) const {
    const std::map<std::string, std::string> metadata = metadata_of(model, tokenizer);
    return write_folder(weights, inventory.taken, metadata, tokenizer, inventory.turned,
                        fresh_tensors(inventory, model), start_config(model, to_));
  }

  std::string write_folder(const WeightsSet& weights, const std::vector<std::pair<std::string, std::string>>& tensors,
                           const std::map<std::string, std::string>& metadata, const Tokenizer* tokenizer,
                           const std::set<std::string>& turned = {},
                           const std::map<std::string, at::Tensor>& added = {}, const std::string& config = "",
                           const std::function<void(const std::string& folder)>& check = {}) const {
    const Interruption interruption;
    try {
      OutputFolder folder(to_, overwrite_, {"weights.safetensors", "tokenizer", "config.toml"});
      copy_tensors(
          weights, tensors, folder.file("weights.safetensors"), metadata, [&] { interruption.check(); }, {}, turned,
          added);
      if (tokenizer != nullptr) tokenizer->save(folder.file("tokenizer"));
      if (!config.empty()) write_atomically(folder.file("config.toml"), config);
      if (check) check(folder.file(""));
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
