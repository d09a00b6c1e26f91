// Finds weights, and gathers the tensors of several files into one list.

#include "runtime/storage/weights_set.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>

#include "runtime/core/error.h"
#include "runtime/core/log.h"
#include "runtime/core/readable_file.h"
#include "runtime/storage/checkpoint.h"
#include "runtime/storage/checkpoint_verify.h"
#include "runtime/storage/content_hash.h"
#include "runtime/storage/foreign_weights.h"
#include "runtime/storage/weights.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const std::string& path, const std::string& what) {
  throw Error(ExitCode::bad_input, message(path, ": ", what));
}

struct Opened {
  std::vector<std::shared_ptr<const SafetensorsFile>> files;
  std::map<std::string, std::string> metadata;
  std::shared_ptr<const WeightsSet> base = nullptr;
};

// What a checkpoint leaves out; null where it leaves out nothing.
std::shared_ptr<const WeightsSet> open_base(const std::string& folder,
                                            const std::map<std::string, std::string>& state) {
  const auto place = state.find(base_state), digest = state.find(base_digest_state);
  if (place == state.end() || digest == state.end()) return nullptr;
  const std::string needs =
      message("holds only what was trained; the rest is in the weights that its run started from, digest ",
              digest->second.substr(0, 12), "..., then at ", place->second);
  std::shared_ptr<const WeightsSet> base;
  try {
    base = WeightsSet::open(place->second);
  } catch (const Error& error) {
    refuse(folder, needs + ": put them there (" + error.what() + ")");
  }
  if (weights_digest(*base) != digest->second) refuse(folder, needs + ": what is there now is another model");
  return base;
}

Opened open_file(const std::string& path) {
  auto file = SafetensorsFile::open(path);
  require_content(*file);
  return {{file}, file->metadata()};
}

bool holds_weights(const CheckpointFile& file) { return file.name.starts_with("weights-"); }

// `verified`: its hashes have just been looked at.
Opened open_checkpoint(const std::string& folder, bool verified) {
  const auto checkpoint = Checkpoint::open(folder);
  const CheckpointManifest& manifest = checkpoint->manifest();
  Opened opened;
  opened.metadata["interlock.config"] = manifest.config;
  opened.metadata[step_metadata] = std::to_string(manifest.step);
  for (const auto& [key, value] : manifest.state)
    if (key.starts_with("interlock.")) opened.metadata[key] = value;  // as a weights file of the run has it
  for (size_t i = 0; i < manifest.files.size(); ++i) {
    if (!holds_weights(manifest.files[i])) continue;
    if (!verified) verify_file(folder, manifest, manifest.files[i]);
    opened.files.push_back(checkpoint->files()[i]);
  }
  if (opened.files.empty()) refuse(folder, "the checkpoint holds no file weights-*.safetensors");
  opened.base = open_base(folder, manifest.state);
  return opened;
}

// The newest whole checkpoint beyond step `above`; `reason`: why the newest was passed over, if it was.
std::optional<std::string> newest_checkpoint(const std::string& run, int64_t above, std::string& reason) {
  return newest_whole_checkpoint(
      run,
      [&](const std::string& problem) {
        log_warning(message("a damaged checkpoint is passed over: ", problem));
        if (reason.empty()) reason = "; the newest: " + problem;
      },
      above);
}

// A run writes weights.safetensors at its end, and may have been stopped or killed with a later
// checkpoint. A file that tells no step is taken for the end. "" when it is to be used.
std::string checkpoint_after(const std::string& run, const Opened& file) {
  const auto step = stored_step(file.metadata);
  std::string reason;
  return step ? newest_checkpoint(run, *step, reason).value_or("") : "";
}

using ForeignReader = std::function<std::shared_ptr<const WeightsSet>(const std::string&)>;
std::vector<ForeignReader>& foreign_readers() {
  static std::vector<ForeignReader> readers;
  return readers;
}

// As of a fine-tuning or a comparison, whose folder holds several.
std::string runs_below(const std::string& folder) {
  std::vector<std::string> found;
  std::error_code problem;
  for (const fs::path& above : {fs::path(folder), fs::path(folder) / "arms"})
    for (const auto& entry : fs::directory_iterator(above, problem))
      if (is_named((entry.path() / "weights.safetensors").string())) found.push_back(entry.path().string());
  if (found.empty()) return "";
  std::ranges::sort(found);
  return message("; name one of the runs below it, as ", found.front(), found.size() > 1 ? " or " + found.back() : "");
}

}  // namespace

void read_foreign_weights_by(ForeignReader open) { foreign_readers().push_back(std::move(open)); }

std::shared_ptr<const WeightsSet> WeightsSet::open(const std::string& path) {
  std::error_code problem;
  const fs::file_status status = fs::status(path, problem);
  if (!fs::exists(status)) {
    throw Error(ExitCode::bad_input, message("no weights file, run folder or checkpoint at ", path,
                                             fs::status_known(status) ? "" : ": " + problem.message()));
  }
  const auto made = [](Opened opened, const std::string& where) {
    return std::make_shared<WeightsSet>(std::move(opened.files), where, std::move(opened.metadata),
                                        std::move(opened.base));
  };
  if (!fs::is_directory(status)) return made(open_file(path), path);
  if (is_checkpoint(path)) return made(open_checkpoint(path, false), path);
  const std::string inside = (fs::path(path) / "weights.safetensors").string();
  const auto from_checkpoint = [&](const std::string& checkpoint) {
    const auto weights = made(open_checkpoint(checkpoint, true), checkpoint);
    weights->folder_ = path;
    return weights;
  };
  if (fs::exists(fs::symlink_status(inside, problem))) {
    Opened file = open_file(inside);
    const std::string later = checkpoint_after(path, file);
    if (later.empty()) {
      if (!list_checkpoints(path).empty()) log_info("reading " + inside);
      return made(std::move(file), inside);
    }
    log_info(
        message("reading ", later, ", which is later than ", inside, " (step ", file.metadata.at(step_metadata), ")"));
    return from_checkpoint(later);
  }
  for (const auto& open_foreign : foreign_readers())
    if (auto weights = open_foreign(path)) return weights;
  // As `interlock export` makes one of a ResNet, of which torchvision reads the tensors alone.
  const std::string alone = (fs::path(path) / "model.safetensors").string();
  if (is_named(alone) && !is_named((fs::path(path) / "config.json").string())) return made(open_file(alone), alone);
  if (fs::exists(fs::path(path) / "config.json", problem) && fs::exists(fs::path(path) / "model.safetensors", problem))
    refuse(path,
           "this is a folder of Hugging Face; `interlock import " + path + " --to FOLDER` makes one to read here");
  if (list_checkpoints(path).empty()) {
    refuse(path,
           "the folder holds neither weights.safetensors nor checkpoints: no run folder, or its run has not written "
           "weights yet" +
               runs_below(path));
  }
  std::string reason;
  const auto newest = newest_checkpoint(path, -1, reason);
  if (!newest) refuse(path, "it has no weights.safetensors yet, and none of its checkpoints is whole" + reason);
  log_info("reading " + *newest);
  return from_checkpoint(*newest);
}

std::optional<int64_t> stored_step(const std::map<std::string, std::string>& metadata) {
  const auto found = metadata.find(step_metadata);
  if (found == metadata.end()) return std::nullopt;
  int64_t step = 0;
  const char *begin = found->second.data(), *end = begin + found->second.size();
  const auto [stop, wrong] = std::from_chars(begin, end, step);
  return wrong == std::errc{} && stop == end && step >= 0 ? std::optional(step) : std::nullopt;
}

WeightsSet::WeightsSet(std::vector<std::shared_ptr<const SafetensorsFile>> files, std::string path,
                       std::map<std::string, std::string> metadata, std::shared_ptr<const WeightsSet> base)
    : files_(std::move(files)), base_(std::move(base)), metadata_(std::move(metadata)), path_(std::move(path)) {
  gather_files();
  if (base_) gather_base();
  std::error_code problem;
  const fs::path where = path_;
  folder_ = fs::is_directory(where, problem) ? path_ : where.has_parent_path() ? where.parent_path().string() : ".";
}

void WeightsSet::gather_files() {
  std::vector<std::pair<const TensorEntry*, size_t>> all;
  for (size_t i = 0; i < files_.size(); ++i) {
    for (const TensorEntry& tensor : files_[i]->tensors()) all.emplace_back(&tensor, i);
  }
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.first->name < b.first->name; });
  for (const auto& [tensor, file] : all) {
    if (!tensors_.empty() && tensors_.back().name == tensor->name) {
      refuse(files_[file]->path(),
             message("the tensor ", tensor->name, " stands in ", files_[file_of_.back()]->path(), " too"));
    }
    tensors_.push_back(*tensor);
    file_of_.push_back(file);
  }
}

// What is there stays; both lists are in the order of names.
void WeightsSet::gather_base() {
  std::vector<TensorEntry> all;
  std::vector<size_t> places;
  size_t own = 0;
  const auto take_own = [&] {
    all.push_back(tensors_[own]);
    places.push_back(file_of_[own++]);
  };
  for (const TensorEntry& tensor : base_->tensors()) {
    while (own < tensors_.size() && tensors_[own].name < tensor.name) take_own();
    if (own < tensors_.size() && tensors_[own].name == tensor.name) continue;
    all.push_back(tensor);
    places.push_back(files_.size());
  }
  while (own < tensors_.size()) take_own();
  tensors_ = std::move(all);
  file_of_ = std::move(places);
}

const TensorEntry* WeightsSet::find(const std::string& name) const {
  const auto found = std::lower_bound(tensors_.begin(), tensors_.end(), name,
                                      [](const TensorEntry& tensor, const std::string& n) { return tensor.name < n; });
  return found != tensors_.end() && found->name == name ? &*found : nullptr;
}

std::span<const std::byte> WeightsSet::bytes(const TensorEntry& tensor) const {
  const TensorEntry* known = find(tensor.name);
  if (known == nullptr) refuse(path_, message("no tensor ", tensor.name));
  const size_t file = file_of_[static_cast<size_t>(known - tensors_.data())];
  return file < files_.size() ? files_[file]->bytes(*known) : base_->bytes(*known);
}

}  // namespace interlock
