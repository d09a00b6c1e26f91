// A Hugging Face folder wherever weights are asked for: run.weights, evaluate, fill, inspect and all others that open a
// WeightsSet. What the folder holds under our names is read as it lies; else a copy is made that lives in memory or a
// temporary folder for as long as it is read.
#include "launch/huggingface/folder_weights.h"

#include <filesystem>

#include "launch/huggingface/adapter_folder.h"
#include "launch/huggingface/folder_model.h"
#include "launch/huggingface/huggingface.h"
#include "launch/huggingface/inventory.h"
#include "runtime/core/error.h"
#include "runtime/core/log.h"
#include "runtime/core/readable_file.h"
#include "runtime/storage/foreign_weights.h"
#include "runtime/storage/scratch_folder.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;

std::shared_ptr<const WeightsSet> open_folder(const std::string& path) {
  if (!is_folder_model(path)) return nullptr;
  const FolderModel model = read_folder_model((fs::path(path) / "config.json").string());
  const auto weights = open_huggingface_weights(path);
  const Inventory inventory = take_inventory(*weights, model);
  const auto tokenizer = !model.reads_bytes && has_tokenizer(path) ? Tokenizer::open(path) : nullptr;
  if (tokenizer) check_tokenizer(*tokenizer, model, path);
  const auto metadata = metadata_of(model, tokenizer.get());
  if (inventory.is_as_it_stands())
    return std::make_shared<const WeightsSet>(std::vector<std::shared_ptr<const SafetensorsFile>>{}, path, metadata,
                                              weights);
  if (const std::string fresh = fresh_text(inventory); !fresh.empty()) log_warning(path + ": " + fresh);
  const ScratchFolder folder("the weights as they are read here (`interlock import` makes a lasting one)");
  const std::string copy = folder.file("weights.safetensors");
  copy_tensors(
      *weights, inventory.taken, copy, metadata, [] {}, {}, inventory.turned, fresh_tensors(inventory, model));
  return std::make_shared<const WeightsSet>(
      std::vector<std::shared_ptr<const SafetensorsFile>>{SafetensorsFile::open(copy)}, path, metadata);
}

const bool registered = [] {
  read_foreign_weights_by(open_folder);
  return true;
}();

}  // namespace

bool is_folder_model(const std::string& path) {
  const fs::path folder = path;
  if (is_adapter_folder(path) || !is_named(folder / "config.json")) return false;
  for (const char* file :
       {"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"})
    if (is_named(folder / file)) return true;
  return false;
}

}  // namespace interlock
