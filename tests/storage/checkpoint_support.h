#pragma once
// Small checkpoints whose content is known from their step alone, so that a checkpoint that verifies can also be held
// against what it should hold.

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "runtime/storage/checkpoint.h"
#include "tests/storage/support.h"

namespace interlock {

inline std::string content_of(int64_t step, const std::string& tensor, size_t bytes) {
  std::string text(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) {
    text[i] = static_cast<char>(static_cast<size_t>(step) * 31 + tensor.size() * 7 + i * (i % 13));
  }
  return text;
}

inline CheckpointPart part_of(int64_t step, const std::string& name, const std::vector<std::string>& tensors,
                              size_t bytes) {
  CheckpointPart part{name, {}, {{"step", std::to_string(step)}}};
  for (const std::string& tensor : tensors) {
    auto content = std::make_shared<std::string>(content_of(step, tensor, bytes));
    part.tensors.push_back({{tensor, "U8", {static_cast<int64_t>(bytes)}}, content, bytes_of(*content)});
  }
  return part;
}

// What two ranks write: weights and optimizer state each.
inline std::vector<CheckpointPart> parts_of(int64_t step, int rank, size_t bytes = 500) {
  const std::string r = std::to_string(rank);
  return {part_of(step, "weights-0000" + r + ".safetensors", {"layer." + r + ".weight", "layer." + r + ".bias"}, bytes),
          part_of(step, "optimizer-0000" + r + ".safetensors", {"first.layer." + r + ".weight"}, bytes)};
}

inline CheckpointManifest manifest_of(int64_t step, std::vector<CheckpointFile> files) {
  return {
      step, "[run]\nsteps = 100\n", {{"samples", std::to_string(step * 32)}, {"rule", "furthest"}}, std::move(files)};
}

// The whole way of a checkpoint of two ranks. Returns its folder.
inline std::string make_checkpoint(const std::string& run, int64_t step, const std::string& nonce = "n",
                                   size_t bytes = 500) {
  const std::string staging = staging_folder(run, step, nonce);
  std::vector<CheckpointFile> files;
  for (const int rank : {1, 0}) {
    for (const CheckpointFile& file : write_checkpoint_files(staging, parts_of(step, rank, bytes)))
      files.push_back(file);
  }
  publish_checkpoint(run, staging, manifest_of(step, files));
  return checkpoints_folder(run) + "/" + checkpoint_name(step);
}

// It verifies, and holds what a checkpoint of its step holds.
inline void expect_whole(const std::string& folder, int64_t step, size_t bytes = 500) {
  const auto error = error_of([&] { verify_checkpoint(folder); });
  ASSERT_FALSE(error) << error->what();
  const auto checkpoint = Checkpoint::open(folder);
  EXPECT_EQ(checkpoint->manifest().step, step);
  ASSERT_EQ(checkpoint->files().size(), 4u);
  for (const auto& file : checkpoint->files()) {
    for (const TensorEntry& tensor : file->tensors()) {
      EXPECT_TRUE(std::ranges::equal(checkpoint->bytes(tensor.name), bytes_of(content_of(step, tensor.name, bytes))))
          << folder << ' ' << tensor.name;
    }
  }
}

inline std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code absent;
  for (const auto& entry : std::filesystem::directory_iterator(folder, absent)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace interlock
