// Holds the files of a checkpoint against its manifest, and finds the newest that is whole.

#include "runtime/storage/checkpoint_verify.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <set>

#include "runtime/core/error.h"
#include "runtime/storage/checkpoint_folders.h"
#include "runtime/storage/checkpoint_manifest.h"
#include "runtime/storage/file_digest.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;

std::string inside(const std::string& folder, const std::string& name) { return (fs::path(folder) / name).string(); }

// Empty when it is a regular file of that size.
std::string size_problem(const std::string& path, uint64_t bytes) {
  struct stat status;
  if (::lstat(path.c_str(), &status) != 0) return errno == ENOENT ? "it is missing" : std::strerror(errno);
  if (S_ISLNK(status.st_mode)) return "it is a symbolic link";
  if (!S_ISREG(status.st_mode)) return "it is not a regular file";
  const auto size = static_cast<uint64_t>(status.st_size);
  if (size == bytes) return "";
  return message("it has ", size, " bytes, ", bytes, " were written", size < bytes ? " (truncated?)" : "");
}

// Empty when the content is what was written.
std::string content_problem(const std::string& folder, const CheckpointManifest& manifest, const CheckpointFile& file) {
  const std::string path = inside(folder, file.name);
  const std::string problem = size_problem(path, file.bytes);
  if (!problem.empty()) return problem;
  const FileDigest found = file_digest(path);
  if (found.sha256 == file.sha256) return "";
  for (const CheckpointFile& other : manifest.files) {
    if (found.sha256 == other.sha256) return message("it holds what ", other.name, " should hold");
  }
  return "its content is not what was written: the SHA-256 differs";
}

// What a call throws as the reason in a list; a path in front of it is known there.
template <class Call>
std::string problem_of(const Call& call) {
  try {
    return call();
  } catch (const Error& error) {
    return error.what();
  }
}

[[noreturn]] void refuse(const std::string& path, const std::string& problem) {
  throw Error(ExitCode::bad_input, message(path, ": ", problem));
}

}  // namespace

CheckpointManifest read_manifest(const std::string& folder) {
  const std::string path = inside(folder, manifest_name);
  struct stat status;
  if (::lstat(path.c_str(), &status) != 0 && errno == ENOENT)
    refuse(path, "it is missing: no checkpoint, or one that lost its manifest");
  CheckpointManifest manifest = parse_manifest(read_regular(path, manifest_limit), path);
  const std::string name = own_name(folder);
  const auto step = step_of_name(name);
  if (step && *step != manifest.step)
    refuse(path, message("it is of step ", manifest.step, ", and the folder is called ", name));
  return manifest;
}

std::string layout_problem(const std::string& folder) {
  return problem_of([&]() -> std::string {
    const CheckpointManifest manifest = read_manifest(folder);
    for (const CheckpointFile& file : manifest.files) check_size(folder, file);
    return "";
  });
}

void check_size(const std::string& folder, const CheckpointFile& file) {
  const std::string path = inside(folder, file.name), problem = size_problem(path, file.bytes);
  if (!problem.empty()) refuse(path, problem);
}

void verify_file(const std::string& folder, const CheckpointManifest& manifest, const CheckpointFile& file) {
  const std::string problem = content_problem(folder, manifest, file);
  if (!problem.empty()) refuse(inside(folder, file.name), problem);
}

std::vector<CheckpointFinding> examine_checkpoint(const std::string& folder,
                                                  const std::function<void(const CheckpointFile&)>& progress) {
  std::vector<CheckpointFinding> findings(1);
  findings[0].name = manifest_name;
  CheckpointManifest manifest;
  findings[0].problem = problem_of([&]() -> std::string {
    struct stat status;
    if (::lstat(inside(folder, manifest_name).c_str(), &status) == 0) {
      findings[0].bytes = static_cast<uint64_t>(status.st_size);
    }
    manifest = read_manifest(folder);
    return "";
  });
  if (!findings[0].problem.empty()) return findings;

  std::set<std::string> known = {manifest_name};
  bool whole = true;
  for (const CheckpointFile& file : manifest.files) {
    if (progress) progress(file);
    known.insert(file.name);
    findings.push_back({file.name, file.bytes, problem_of([&] { return content_problem(folder, manifest, file); })});
    whole = whole && findings.back().problem.empty();
  }
  std::error_code problem;
  std::set<std::string> strangers;
  for (const auto& entry : fs::directory_iterator(folder, problem)) {
    const std::string name = entry.path().filename().string();
    if (!known.contains(name)) strangers.insert(name);
  }
  for (const std::string& name : strangers) {
    const auto size = fs::file_size(inside(folder, name), problem);
    findings.push_back({name, problem ? 0 : size, "it does not belong to this checkpoint"});
  }
  // Hashes that fit do not make them files of tensors, nor the names in them unique.
  if (whole) {
    findings[0].problem = problem_of([&]() -> std::string {
      Checkpoint::open(folder);
      return "";
    });
  }
  return findings;
}

void verify_checkpoint(const std::string& folder, const std::function<void(const CheckpointFile&)>& progress) {
  for (const CheckpointFinding& finding : examine_checkpoint(folder, progress)) {
    if (finding.problem.empty()) continue;
    const std::string path = inside(folder, finding.name);
    throw Error(ExitCode::bad_input, finding.problem.find(path) != std::string::npos
                                         ? finding.problem
                                         : message(path, ": ", finding.problem));
  }
}

bool is_checkpoint(const std::string& folder) {
  const std::string path = inside(folder, manifest_name);
  struct stat status;
  if (::lstat(path.c_str(), &status) != 0) return false;
  // One that is damaged is a checkpoint still, and verification says what is wrong with it.
  if (step_of_name(own_name(folder))) return true;
  try {
    parse_manifest(read_regular(path, manifest_limit), path);
    return true;
  } catch (const Error&) {
    return false;
  }
}

std::optional<std::string> newest_whole_checkpoint(const std::string& run_folder,
                                                   const std::function<void(const std::string& reason)>& broken,
                                                   int64_t above) {
  // A run that goes on meanwhile may remove what was listed; then its newer ones are looked for.
  constexpr int attempts = 10;
  std::set<std::string> told;
  for (int attempt = 0; attempt < attempts; ++attempt) {
    bool vanished = false;
    for (const std::string& folder : list_checkpoints(run_folder)) {
      if (step_of_name(own_name(folder)).value_or(above) <= above) break;
      try {
        verify_checkpoint(folder);
        return folder;
      } catch (const Error& error) {
        std::error_code problem;
        if (!fs::exists(folder, problem)) {
          vanished = true;
        } else if (told.insert(folder).second && broken) {
          broken(error.what());
        }
      }
    }
    if (!vanished) break;
  }
  return std::nullopt;
}

}  // namespace interlock
