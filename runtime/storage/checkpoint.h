#pragma once
// Checkpoints as folders: safetensors files whose tensors have global names, and a manifest with the size and SHA-256
// of each. A checkpoint appears under its name only when everything in it is durable, and is removed only after it has
// lost its name; so what is found under a name is whole, or was damaged later, and then verification names the file.
// Torch-free, knows no rank: who writes which file, and when, is for its callers to say.
//
//   <run>/checkpoints/step-00000100/manifest.json, weights-00000.safetensors, optimizer-00000.safetensors, ...

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runtime/storage/safetensors.h"

namespace interlock {

struct CheckpointFile {
  std::string name;  // a plain file name
  uint64_t bytes = 0;
  std::string sha256;
};

struct CheckpointManifest {
  int64_t step = 0;
  std::string config;                        // the run's resolved TOML
  std::map<std::string, std::string> state;  // what else a run needs, as text: samples seen, tokenizer ...
  std::vector<CheckpointFile> files;         // by name
};

// A file to write: the tensors (offsets ignored) and their bytes, which `owner` keeps alive.
struct CheckpointPart {
  struct Tensor {
    TensorEntry entry;
    std::shared_ptr<const void> owner;
    std::span<const std::byte> bytes;
  };
  std::string name;
  std::vector<Tensor> tensors;
  std::map<std::string, std::string> metadata;
};

std::string checkpoint_name(int64_t step);                      // step-00000100
std::string checkpoints_folder(const std::string& run_folder);  // <run>/checkpoints
// The folder in which the files of a checkpoint are gathered before it has its name; `nonce` is the same on all writers
// of one checkpoint and differs between runs.
std::string staging_folder(const std::string& run_folder, int64_t step, const std::string& nonce);

// Writes, fsyncs and hashes the parts into the staging folder (made when absent; several processes may do so at once).
// Error(cannot_write) names the file and the reason.
// `cancelled`, when given, is asked before every tensor; writing then ends by an error and leaves no half file.
std::vector<CheckpointFile> write_checkpoint_files(const std::string& staging, const std::vector<CheckpointPart>& parts,
                                                   const std::atomic<bool>* cancelled = nullptr);
// Checks that the listed files are there with their sizes, writes the manifest, makes all durable and gives the folder
// its name. A checkpoint of that step that is there already is replaced; one that does not verify is put aside instead,
// under a name that begins with "damaged-", since something of it may be rescued: where, and what is wrong with it, is
// returned (else "").
std::string publish_checkpoint(const std::string& run_folder, const std::string& staging,
                               const CheckpointManifest& manifest);
// Keeps the one of step `published`, and the newest below it until there are `keep` (at least 1), and removes the
// others below: they lose their name first. Those of later steps stay and do not count: the run has passed them over.
// One that does not verify is never removed, since something of it may be rescued: why each of those stays is returned.
// Leftovers of writers that are no more (staging folders of other nonces, half-removed checkpoints) go too.
std::vector<std::string> retain_checkpoints(const std::string& run_folder, int64_t keep, const std::string& nonce,
                                            int64_t published);
// Removes what writers that were killed have left: every staging folder, every half-removed checkpoint. For who holds
// the folder's lock, before anybody writes.
void remove_leftovers(const std::string& run_folder) noexcept;
// Removes a staging folder whose writing failed; says nothing when it is not there.
void discard_staging(const std::string& staging) noexcept;

// A published checkpoint, opened: the manifest is read and checked, and the size of every file; the files are mapped.
class Checkpoint {
 public:
  static std::shared_ptr<const Checkpoint> open(const std::string& folder);
  virtual ~Checkpoint() = default;
  virtual const std::string& folder() const = 0;
  virtual const CheckpointManifest& manifest() const = 0;
  virtual const std::vector<std::shared_ptr<const SafetensorsFile>>& files() const = 0;  // in the manifest's order
  // By global name, over all files; nullptr when absent. Two files with one name are refused on opening.
  virtual const TensorEntry* find(const std::string& name) const = 0;
  // Those whose names begin with `prefix`, by name.
  virtual std::vector<const TensorEntry*> beginning_with(const std::string& prefix) const = 0;
  virtual std::span<const std::byte> bytes(const std::string& name) const = 0;
};

// Proves a checkpoint whole: every hash, every size, no file too many or missing. Error(bad_input) names the first file
// that is wrong and how; `progress` is told each file before it is read.
void verify_checkpoint(const std::string& folder, const std::function<void(const CheckpointFile&)>& progress = {});
bool is_checkpoint(const std::string& folder);  // has a manifest of ours
// Folders, newest step first; none when the run has no folder of checkpoints. Error(bad_input) when that is there and
// cannot be looked at, or is no folder.
std::vector<std::string> list_checkpoints(const std::string& run_folder);
// What has the name of a checkpoint and is no folder (a file, a symbolic link): no checkpoint, and perhaps the trace of
// one.
std::vector<std::string> no_checkpoint_folders(const std::string& run_folder);
// The newest that verifies, of those beyond step `above`; `broken` is told of each newer one that does not. nullopt
// when there is none.
std::optional<std::string> newest_whole_checkpoint(const std::string& run_folder,
                                                   const std::function<void(const std::string& reason)>& broken,
                                                   int64_t above = -1);

}  // namespace interlock
