// A published checkpoint as one set of tensors.

#include <algorithm>
#include <filesystem>

#include "runtime/core/error.h"
#include "runtime/storage/checkpoint.h"
#include "runtime/storage/checkpoint_verify.h"

namespace interlock {
namespace {

class OpenedCheckpoint final : public Checkpoint {
 public:
  explicit OpenedCheckpoint(const std::string& folder) : folder_(folder), manifest_(read_manifest(folder)) {
    for (const CheckpointFile& file : manifest_.files) {
      check_size(folder, file);
      const std::string path = (std::filesystem::path(folder) / file.name).string();
      files_.push_back(SafetensorsFile::open(path, Links::refuse));
      for (const TensorEntry& tensor : files_.back()->tensors()) {
        const auto [place, fresh] = tensors_.emplace(tensor.name, Place{&tensor, files_.back().get()});
        if (fresh) continue;
        throw Error(ExitCode::bad_input,
                    message(path, ": the tensor ", tensor.name, " stands in ", place->second.file->path(), " too"));
      }
    }
  }

  const std::string& folder() const override { return folder_; }
  const CheckpointManifest& manifest() const override { return manifest_; }
  const std::vector<std::shared_ptr<const SafetensorsFile>>& files() const override { return files_; }

  const TensorEntry* find(const std::string& name) const override {
    const auto found = tensors_.find(name);
    return found == tensors_.end() ? nullptr : found->second.tensor;
  }

  std::vector<const TensorEntry*> beginning_with(const std::string& prefix) const override {
    std::vector<const TensorEntry*> found;
    for (auto place = tensors_.lower_bound(prefix); place != tensors_.end() && place->first.starts_with(prefix);
         ++place)
      found.push_back(place->second.tensor);
    return found;
  }

  std::span<const std::byte> bytes(const std::string& name) const override {
    const auto found = tensors_.find(name);
    if (found == tensors_.end())
      throw Error(ExitCode::bad_input, message(folder_, ": the checkpoint holds no tensor ", name));
    return found->second.file->bytes(*found->second.tensor);
  }

 private:
  struct Place {
    const TensorEntry* tensor;
    const SafetensorsFile* file;
  };
  std::string folder_;
  CheckpointManifest manifest_;
  std::vector<std::shared_ptr<const SafetensorsFile>> files_;
  std::map<std::string, Place> tensors_;
};

}  // namespace

std::shared_ptr<const Checkpoint> Checkpoint::open(const std::string& folder) {
  return std::make_shared<const OpenedCheckpoint>(folder);
}

}  // namespace interlock
