#include "runtime/storage/scratch_folder.h"

#include <stdlib.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "runtime/core/error.h"

namespace interlock {

namespace fs = std::filesystem;

ScratchFolder::ScratchFolder(const std::string& purpose) {
  std::error_code problem;
  fs::path outer = fs::temp_directory_path(problem);
  if (problem) outer = "/tmp";
  path_ = (outer / "interlock-XXXXXX").string();
  if (mkdtemp(path_.data()) == nullptr)
    throw Error(ExitCode::cannot_write, message("cannot make a folder for ", purpose, ", like ", path_, ": ",
                                                std::strerror(errno), "; TMPDIR says where such folders are made"));
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string ScratchFolder::file(const std::string& name) const { return (fs::path(path_) / name).string(); }

}  // namespace interlock
