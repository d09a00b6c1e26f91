#include "launch/folders/output_folder.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "runtime/core/error.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const std::string& path, const std::string& what) {
  throw Error(ExitCode::cannot_write, message(path, ": ", what));
}

void check_replaceable(const std::string& path, bool overwrite, const std::vector<std::string>& known) {
  std::error_code problem;
  const fs::file_status status = fs::symlink_status(path, problem);
  if (!fs::exists(status)) return;
  if (!fs::is_directory(status)) refuse(path, "exists already and is not a folder");
  for (const auto& entry : fs::directory_iterator(path, problem)) {
    if (!overwrite) refuse(path, "exists already and is kept; choose another folder, or replace it with --overwrite");
    const std::string name = entry.path().filename().string();
    if (std::find(known.begin(), known.end(), name) == known.end())
      refuse(path, message("holds ", name, ", which --overwrite would remove; choose another folder"));
  }
  if (problem) refuse(path, "cannot be read: " + problem.message());
}

void make_durable(const std::string& folder) {
  const int descriptor = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool done = descriptor >= 0 && fsync(descriptor) == 0;
  const std::string reason = std::strerror(errno);
  if (descriptor >= 0) close(descriptor);
  if (!done) refuse(folder, "cannot be made durable: " + reason);
}

}  // namespace

OutputFolder::OutputFolder(const std::string& path, bool overwrite, const std::vector<std::string>& known) {
  fs::path place = fs::path(path).lexically_normal();
  if (!place.has_filename()) place = place.parent_path();  // "folder/"
  path_ = place.string();
  if (path_.empty() || place.filename() == "." || place.filename() == "..")
    refuse(path, "is no name of a folder to make");
  check_replaceable(path_, overwrite, known);
  const fs::path parent = place.has_parent_path() ? place.parent_path() : fs::path(".");
  std::error_code problem;
  fs::create_directories(parent, problem);
  if (problem) refuse(path_, "cannot make " + parent.string() + ": " + problem.message());
  staging_ = (parent / (temporary_name(place.filename().string()) + "XXXXXX")).string();
  if (mkdtemp(staging_.data()) == nullptr) refuse(path_, std::string("cannot be made: ") + std::strerror(errno));
  const mode_t mask = umask(0);  // a temporary folder is its owner's alone; this one is to be as any other
  umask(mask);
  chmod(staging_.c_str(), 0777 & ~mask);
}

OutputFolder::~OutputFolder() {
  std::error_code ignored;
  if (!staging_.empty()) fs::remove_all(staging_, ignored);
}

void OutputFolder::remove_leftovers(const std::string& path) {
  const fs::path place(path);
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(place.parent_path(), ignored))
    if (entry.path().filename().string().starts_with(temporary_name(place.filename().string())))
      fs::remove_all(entry.path(), ignored);
}

std::string OutputFolder::file(const std::string& name) const { return (fs::path(staging_) / name).string(); }

void OutputFolder::commit() {
  for (const auto& entry : fs::recursive_directory_iterator(staging_))
    if (entry.is_directory()) make_durable(entry.path().string());
  make_durable(staging_);
  const fs::path parent = fs::path(staging_).parent_path();
  if (rename(staging_.c_str(), path_.c_str()) == 0) {  // there was nothing, or an empty folder
    staging_.clear();
  } else if (renameat2(AT_FDCWD, staging_.c_str(), AT_FDCWD, path_.c_str(), RENAME_EXCHANGE) != 0) {
    refuse(path_, std::string("cannot be put in place: ") + std::strerror(errno));
  }  // exchanged: the folder before lies in staging_ now, and goes with it
  make_durable(parent.empty() ? "." : parent.string());
}

}  // namespace interlock
