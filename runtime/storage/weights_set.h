#pragma once
// The state of a checkpoint that leaves out what lies in the weights its run started from: where these lie, and their
// digest (weights.h).
inline constexpr const char* base_state = "interlock.base";
inline constexpr const char* base_digest_state = "interlock.base_digest";

// A whole set of weights wherever it lies: a safetensors file, a run folder (its weights.safetensors or its newest
// whole checkpoint, whichever is of the later step; the log says which), a checkpoint, or a folder
// of an imported model (weights.safetensors). The weights of a checkpoint are spread over its weights-*.safetensors;
// its other files are not part of the set. What it leaves out comes from the weights that its manifest names.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runtime/storage/safetensors.h"

namespace interlock {

// The metadata of weights that tells after which step of their run they were written.
inline constexpr const char* step_metadata = "interlock.step";
// nullopt when the metadata tells none, or no number.
std::optional<int64_t> stored_step(const std::map<std::string, std::string>& metadata);

class WeightsSet {
 public:
  // Error(bad_input) says what `path` is and what it lacks.
  static std::shared_ptr<const WeightsSet> open(const std::string& path);
  explicit WeightsSet(std::vector<std::shared_ptr<const SafetensorsFile>> files, std::string path,
                      std::map<std::string, std::string> metadata, std::shared_ptr<const WeightsSet> base = {});

  const TensorEntry* find(const std::string& name) const;               // nullptr when absent
  std::span<const std::byte> bytes(const TensorEntry& tensor) const;    // of an entry of this set
  const std::vector<TensorEntry>& tensors() const { return tensors_; }  // by name, ascending
  // Of the file; of a checkpoint "interlock.config", "interlock.step" and what else in its manifest is named so.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::string& path() const { return path_; }      // as messages name it
  const std::string& folder() const { return folder_; }  // of the run, checkpoint or model: where a tokenizer may lie

 private:
  void gather_files();
  void gather_base();

  std::vector<std::shared_ptr<const SafetensorsFile>> files_;
  std::shared_ptr<const WeightsSet> base_;  // null: nothing was left out
  std::vector<TensorEntry> tensors_;
  std::vector<size_t> file_of_;  // by place in tensors_; files_.size(): of the base
  std::map<std::string, std::string> metadata_;
  std::string path_, folder_;
};

}  // namespace interlock
