// Writing a checkpoint, giving it its name, and taking the name away. The order of steps is what makes it safe: all
// files durable, then the manifest, then the name; on the way out first the name, durably, then the files.

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <set>

#include "runtime/core/error.h"
#include "runtime/storage/atomic_file.h"
#include "runtime/storage/checkpoint.h"
#include "runtime/storage/checkpoint_folders.h"
#include "runtime/storage/checkpoint_manifest.h"
#include "runtime/storage/checkpoint_verify.h"
#include "runtime/storage/sha256.h"
#include "runtime/storage/temporary_file.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;

void stop_if(const std::atomic<bool>* cancelled, const std::string& path) {
  if (cancelled != nullptr && cancelled->load())
    throw Error(ExitCode::cannot_write, message("cannot write ", path, ": the run ends"));
}

CheckpointFile write_part(const std::string& staging, const CheckpointPart& part, const std::atomic<bool>* cancelled) {
  std::vector<TensorEntry> entries;
  std::map<std::string, std::span<const std::byte>> bytes;
  for (const CheckpointPart::Tensor& tensor : part.tensors) {
    entries.push_back(tensor.entry);
    bytes.emplace(tensor.entry.name, tensor.bytes);
  }
  const std::string path = (fs::path(staging) / part.name).string();
  Sha256 digest;
  SafetensorsWriter writer(path, std::move(entries), part.metadata, &digest);
  for (const TensorEntry& tensor : writer.order()) {
    stop_if(cancelled, path);
    writer.write(tensor.name, bytes.at(tensor.name));
  }
  stop_if(cancelled, path);
  writer.commit();
  struct stat status;
  if (::stat(path.c_str(), &status) != 0) fail_to_write(path, errno);
  return {part.name, static_cast<uint64_t>(status.st_size), digest.hex()};
}

void check_staged(const std::string& staging, const CheckpointManifest& manifest) {
  std::set<std::string> known;
  for (const CheckpointFile& file : manifest.files) {
    known.insert(file.name);
    const std::string path = (fs::path(staging) / file.name).string();
    struct stat status;
    if (::lstat(path.c_str(), &status) != 0) {
      throw Error(ExitCode::cannot_write,
                  message("cannot write ", path, ": it was written, and is gone: ", std::strerror(errno)));
    }
    if (!S_ISREG(status.st_mode) || static_cast<uint64_t>(status.st_size) != file.bytes) {
      throw Error(ExitCode::cannot_write, message("cannot write ", path, ": ", file.bytes, " bytes were written, and ",
                                                  status.st_size, " are there"));
    }
  }
  // What a writer left that failed on this step before; in the checkpoint it would be a file too many.
  std::error_code problem;
  std::vector<fs::path> strangers;
  for (const auto& entry : fs::directory_iterator(staging, problem)) {
    if (!known.contains(entry.path().filename().string())) strangers.push_back(entry.path());
  }
  for (const fs::path& path : strangers) {
    fs::remove_all(path, problem);
    if (problem) fail_to_write(path.string(), problem.value());
  }
}

void rename_or_fail(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) fail_to_write(to, errno);
}

// Gives `staging` the name `target`. Returns where the one went that had it before, or "".
std::string take_name(const std::string& staging, const std::string& target) {
  while (true) {
    if (::rename(staging.c_str(), target.c_str()) == 0) return "";
    if (errno != ENOTEMPTY && errno != EEXIST && errno != ENOTDIR) fail_to_write(target, errno);
    // They swap places, so that there is no moment without a checkpoint of this name.
    if (::renameat2(AT_FDCWD, staging.c_str(), AT_FDCWD, target.c_str(), RENAME_EXCHANGE) == 0) return staging;
    if (errno == ENOENT) continue;  // somebody else has just removed it
    if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP) fail_to_write(target, errno);
    // A file system without that: the old one first loses its name.
    const fs::path path = target;
    const std::string trash = trash_path(path.parent_path().string(), path.filename().string());
    rename_or_fail(target, trash);
    rename_or_fail(staging, target);
    return trash;
  }
}

// What could not be removed is met again by the next retain_checkpoints; the names are right already.
void remove_quietly(const std::string& path) noexcept {
  std::error_code ignored;
  fs::remove_all(path, ignored);
}

// Staging folders of others than `nonce` (nullopt: of all), and half-removed checkpoints.
std::vector<std::string> leftovers(const std::string& folder, const std::optional<std::string>& nonce) {
  std::vector<std::string> found;
  std::error_code problem;
  for (const auto& entry : fs::directory_iterator(folder, problem)) {
    const std::string name = entry.path().filename().string();
    const auto other = nonce_of_staging(name);
    if (name.starts_with(trash_prefix) || (other && other != nonce)) found.push_back(entry.path().string());
  }
  return found;
}

// Why it does not verify; empty when it does.
std::string problem_of_checkpoint(const std::string& folder) {
  try {
    verify_checkpoint(folder);
    return "";
  } catch (const std::exception& error) {
    return error.what();
  }
}

// Gives a damaged checkpoint a name that no other has and no checkpoint has; returns it.
std::string put_aside(const std::string& damaged, const std::string& folder, const std::string& name) {
  for (int number = 1;; ++number) {
    const std::string aside =
        (fs::path(folder) / message("damaged-", name, number > 1 ? message("-", number) : std::string())).string();
    if (fs::exists(fs::symlink_status(aside))) continue;
    rename_or_fail(damaged, aside);
    return aside;
  }
}

}  // namespace

std::vector<CheckpointFile> write_checkpoint_files(const std::string& staging, const std::vector<CheckpointPart>& parts,
                                                   const std::atomic<bool>* cancelled) {
  std::error_code problem;
  fs::create_directories(staging, problem);  // no error when another process was faster
  if (problem) fail_to_write(staging, problem.value());
  std::vector<CheckpointFile> files;
  for (const CheckpointPart& part : parts) files.push_back(write_part(staging, part, cancelled));
  return files;
}

std::string publish_checkpoint(const std::string& run_folder, const std::string& staging,
                               const CheckpointManifest& given) {
  CheckpointManifest manifest = given;
  std::sort(manifest.files.begin(), manifest.files.end(),
            [](const CheckpointFile& a, const CheckpointFile& b) { return a.name < b.name; });
  const std::string folder = checkpoints_folder(run_folder);
  const std::string text = print_manifest(manifest);
  check_staged(staging, manifest);
  write_atomically((fs::path(staging) / manifest_name).string(), text);  // ends with an fsync of the staging folder

  const std::string name = checkpoint_name(manifest.step);
  const std::string target = (fs::path(folder) / name).string();
  // First of all, under the name that it has: whatever goes wrong from here on, it is nobody's leftover.
  const std::string problem = fs::exists(fs::symlink_status(target)) ? problem_of_checkpoint(target) : "";
  const std::string aside = problem.empty() ? "" : put_aside(target, folder, name);
  const std::string old = take_name(staging, target);
  sync_folder(folder);
  sync_folder(run_folder.empty() ? "." : run_folder);  // the folder of the checkpoints may be new
  if (!old.empty()) remove_quietly(old);
  return problem.empty() ? "" : message(aside, ", which was ", name, ": ", problem);
}

std::vector<std::string> retain_checkpoints(const std::string& run_folder, int64_t keep, const std::string& nonce,
                                            int64_t published) {
  assert(keep >= 1);
  std::vector<std::string> spared;
  const std::string folder = checkpoints_folder(run_folder);
  std::vector<std::string> out = leftovers(folder, nonce);
  int64_t kept = 1;  // the one just published: its bytes were right a moment ago
  bool renamed = false;
  for (const std::string& checkpoint : list_checkpoints(run_folder)) {
    if (step_of_name(own_name(checkpoint)).value_or(published) >= published) continue;
    if (kept < keep) {
      // A damaged one does not stand in the place of a good one, as far as that can be told without reading it all.
      kept += layout_problem(checkpoint).empty();
      continue;
    }
    if (std::string problem = problem_of_checkpoint(checkpoint); !problem.empty()) {
      spared.push_back(std::move(problem));
      continue;
    }
    out.push_back(trash_path(folder, own_name(checkpoint)));
    rename_or_fail(checkpoint, out.back());
    renamed = true;
  }
  if (renamed) sync_folder(folder);
  for (const std::string& path : out) remove_quietly(path);
  return spared;
}

void remove_leftovers(const std::string& run_folder) noexcept {
  try {
    for (const std::string& path : leftovers(checkpoints_folder(run_folder), std::nullopt)) remove_quietly(path);
  } catch (const std::exception&) {
    // A folder that cannot be read now: what is left in it is met again by the next retain_checkpoints.
  }
}

void discard_staging(const std::string& staging) noexcept { remove_quietly(staging); }

}  // namespace interlock
