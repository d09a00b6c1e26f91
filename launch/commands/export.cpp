// `interlock export`: a trained model as a folder that Hugging Face's transformers open.

#include <CLI/CLI.hpp>
#include <iostream>
#include <set>

#include "launch/command.h"
#include "launch/folders/output_apart.h"
#include "launch/folders/output_folder.h"
#include "launch/huggingface/adapter_folder.h"
#include "launch/huggingface/folder_model.h"
#include "launch/huggingface/huggingface.h"
#include "launch/huggingface/inventory.h"
#include "launch/run/load_weights.h"
#include "launch/stored_model/image_model.h"
#include "launch/stored_model/model_source.h"
#include "launch/terminal/interruption.h"
#include "runtime/core/nearest_name.h"
#include "runtime/data/byte_tokens.h"
#include "runtime/data/token_vocabulary.h"
#include "runtime/storage/atomic_file.h"
#include "runtime/storage/content_hash.h"

namespace interlock {
namespace {

const std::vector<std::string> exported_files = {
    "config.json", "model.safetensors",     "tokenizer.json",         "vocab.json",
    "merges.txt",  "tokenizer_config.json", "special_tokens_map.json"};

const std::vector<std::string> adapter_files = {"adapter_config.json", "adapter.safetensors",
                                                "adapter_model.safetensors", "head_config.json",
                                                "model_head.safetensors"};

// Tensors that the model itself does not have: local heads, which stay behind, and what nobody knows.
size_t count_local_heads(const TextModel& source, const std::vector<std::pair<std::string, std::string>>& tensors) {
  std::vector<std::string> unknown;
  size_t heads = 0;
  for (const TensorEntry& tensor : source.weights->tensors()) {
    const bool taken =
        std::any_of(tensors.begin(), tensors.end(), [&](const auto& pair) { return pair.first == tensor.name; });
    if (tensor.name.starts_with("heads.")) {
      ++heads;
    } else if (!taken && !source.model->is_inserted(tensor.name)) {
      unknown.push_back(tensor.name);
    }
  }
  if (!unknown.empty())
    throw Error(ExitCode::bad_input, message(source.weights->path(), ": tensors that the model of its config does not ",
                                             "have: ", some_of(unknown)));
  return heads;
}

// What stands behind a document.
int64_t end_of(const TextModel& source) {
  if (!source.tokenizer) return byte_tokens::end;
  return source.objective == Objective::causal ? document_end(*source.tokenizer, source.tokenizer_path)
                                               : source.tokenizer->specials().end;
}

class Export final : public Command {
 public:
  std::string summary() const override { return "write a trained model for Hugging Face's transformers"; }
  void declare(CLI::App& app) override {
    app.add_option("path", path_, "a run folder, checkpoint, weights file or imported model")->required();
    app.add_option("--to", to_, "the folder to make")->type_name("DIR")->required();
    app.add_flag("--overwrite", overwrite_, "replace the folder of an earlier export");
    app.add_flag(
        "--adapter", adapter_,
        "write what was added to the model alone: adapters for AdapterHub's library, low-rank updates for PEFT");
  }

  int run() override {
    refuse_over_sources("--to", to_, {path_});
    const auto weights = WeightsSet::open(path_);
    if (has_images(*weights)) return export_images(*weights);
    const TextModel source = open_text_model(weights, "export");
    if (adapter_) {
      require_roberta(source.settings, "an adapter");
      return export_adapter(source);
    }
    const FolderModel model = folder_model_of(source);
    refuse_adapters(source);
    const auto tensors = tensors_for(model, *source.weights, source.model->aliases());
    const size_t heads = count_local_heads(source, tensors);
    const std::string made = write(source, model, tensors);

    std::cout << "Wrote " << made << ": " << tensors.size() << " tensors" << (source.tokenizer ? ", tokenizer" : "")
              << "\n";
    if (heads > 0) std::cout << "Left out: " << heads << " tensors of local heads, which only training reads\n";
    if (!source.tokenizer)
      std::cout << "No tokenizer: this model reads bytes (<s> 0, <pad> 1, </s> 2, <unk> 3, <mask> 4, byte b as 5 + "
                   "b)\n";
    if (!model.note.empty()) std::cout << model.note << "\n";
    std::cout << "Open it with " << model.architecture << ".from_pretrained(\"" << made << "\")\n";
    return static_cast<int>(ExitCode::done);
  }

 private:
  // Body, readout and running statistics, under the names they have in torchvision.
  int export_images(const WeightsSet& weights) const {
    if (adapter_)
      throw Error(ExitCode::config, "--adapter: a model of images has neither adapters nor low-rank updates");
    std::vector<std::pair<std::string, std::string>> tensors;
    for (const TensorEntry& tensor : weights.tensors())
      if (!tensor.name.starts_with("heads.")) tensors.emplace_back(tensor.name, tensor.name);
    std::map<std::string, std::string> metadata{{"format", "pt"}};
    for (const auto& [key, value] : weights.metadata())
      if (key.starts_with("interlock.") && key != content_hash_metadata) metadata[key] = value;  // what is needed here
    const Interruption interruption;
    try {
      OutputFolder folder(to_, overwrite_, exported_files);
      copy_tensors(weights, tensors, folder.file("model.safetensors"), metadata, [&] { interruption.check(); });
      folder.commit();
      std::cout << "Wrote " << folder.path() << ": " << tensors.size() << " tensors\n"
                << "Of a ResNet, torchvision's takes them: load_state_dict(safetensors.torch.load_file(\""
                << folder.path() << "/model.safetensors\"))\n";
    } catch (const Interrupted& interrupted) {
      end_by(interrupted);
    }
    return static_cast<int>(ExitCode::done);
  }

  // Returns the folder's path.
  std::string write(const TextModel& source, const FolderModel& model,
                    const std::vector<std::pair<std::string, std::string>>& tensors) const {
    const Interruption interruption;
    try {
      OutputFolder folder(to_, overwrite_, exported_files);
      std::set<std::string> turned;
      for (const FolderTensor& tensor : model.tensors)
        if (tensor.turned) turned.insert(tensor.name);
      copy_tensors(
          *source.weights, tensors, folder.file("model.safetensors"), {}, [&] { interruption.check(); },
          merged_weights(source.settings, *source.weights), turned);
      const std::string dtype = source.weights->find(model.word_table)->dtype;
      const int64_t end = end_of(source);
      write_atomically(folder.file("config.json"), model.config(dtype, end));
      if (source.tokenizer)
        write_huggingface_tokenizer(*source.tokenizer, model.max_length, model.tokenizer_class, model.framed,
                                    folder.file(""));
      folder.commit();
      return folder.path();
    } catch (const Interrupted& interrupted) {
      end_by(interrupted);
    }
  }

  // A RobertaForMaskedLM has a place for what can be merged into its weights, for nothing else.
  static void refuse_adapters(const TextModel& source) {
    for (const TensorEntry& tensor : source.weights->tensors())
      if (source.model->is_inserted(tensor.name) && tensor.name.find(".adapters.") != std::string::npos)
        throw Error(ExitCode::config,
                    message(source.weights->path(), ": holds adapters, for which transformers' models have no ",
                            "place; --adapter writes them for AdapterHub's library, to be loaded onto the model that ",
                            "they were trained on"));
  }

  int export_adapter(const TextModel& source) const {
    const auto adapter = adapter_folder(source);
    if (!adapter)
      throw Error(ExitCode::config, message("--adapter: ", source.weights->path(),
                                            " was trained with neither adapters nor lora ([[technique]])"));
    const Interruption interruption;
    try {
      OutputFolder folder(to_, overwrite_, adapter_files);
      size_t count = 0;
      for (const auto& [file, names, metadata] : adapter->tensors) {
        copy_tensors(*source.weights, names, folder.file(file), metadata, [&] { interruption.check(); });
        count += names.size();
      }
      for (const auto& [file, content] : adapter->configs) write_atomically(folder.file(file), content);
      folder.commit();
      std::cout << "Wrote " << folder.path() << ": " << count << " tensors\n";
      if (!adapter->left_out.empty())
        std::cout << "Left out, as the format has no place for it: " << join(adapter->left_out)
                  << ", which trained as well\n";
    } catch (const Interrupted& interrupted) {
      end_by(interrupted);
    }
    return static_cast<int>(ExitCode::done);
  }

  std::string path_, to_;
  bool overwrite_ = false, adapter_ = false;
};

const Registration<Command> registered("export", [] { return std::make_unique<Export>(); });

}  // namespace
}  // namespace interlock
