#pragma once
// Looking through a checkpoint file by file, as `interlock verify` shows it. The short forms are checkpoint.h's.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "runtime/storage/checkpoint.h"

namespace interlock {

struct CheckpointFinding {
  std::string name;
  uint64_t bytes = 0;   // as the manifest says; of a file that it does not know, as it is
  std::string problem;  // empty when the file is as it was written
};

// Every file of a checkpoint, the manifest first, then by name. Without a readable manifest there is nothing to hold
// the others against, and it stands alone.
std::vector<CheckpointFinding> examine_checkpoint(const std::string& folder,
                                                  const std::function<void(const CheckpointFile&)>& progress = {});
// Empty when the manifest is whole and every file is there with its size: what can be told without reading them.
std::string layout_problem(const std::string& folder);
// Error(bad_input) when this file is missing, no regular file, or of another size.
void check_size(const std::string& folder, const CheckpointFile& file);
// Error(bad_input) when this file's content is not what was written.
void verify_file(const std::string& folder, const CheckpointManifest& manifest, const CheckpointFile& file);
// Reads the manifest of a checkpoint and holds its step against the folder's name.
CheckpointManifest read_manifest(const std::string& folder);

}  // namespace interlock
