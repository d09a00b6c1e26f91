// Walks folders without being caught in loops of symbolic links.

#include "runtime/data/corpus_files.h"

#include <glob.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>

#include "runtime/core/compressed.h"
#include "runtime/core/error.h"
#include "runtime/core/nearest_name.h"
#include "runtime/core/printable.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;

class Walk {
 public:
  explicit Walk(std::string key) : key_(std::move(key)) {}

  void add(const std::string& path) {
    for (const std::string& named : expand(path)) {
      const fs::path real = resolve(named);
      if (!fs::is_regular_file(real) && !fs::is_directory(real)) refuse(named, "is neither a file nor a folder");
      take(real);
    }
  }

  std::vector<CorpusFile> files() const {
    std::vector<CorpusFile> list;
    for (const auto& [path, size] : files_) {
      if (size > 0) list.push_back({path, size});
    }
    return list;
  }

 private:
  [[noreturn]] void refuse(const std::string& path, const std::string& what) const {
    throw Error(ExitCode::bad_input, message(key_, ": ", printable(path), " ", what));
  }

  std::vector<std::string> expand(const std::string& path) const {
    std::error_code ignored;
    if (fs::exists(fs::symlink_status(path, ignored))) return {path};  // also a file whose name holds a bracket
    if (path.find_first_of("*?[") == std::string::npos) refuse(path, "does not exist");
    glob_t found = {};
    const int status = glob(path.c_str(), 0, nullptr, &found);
    std::vector<std::string> matches(found.gl_pathv, found.gl_pathv + found.gl_pathc);
    globfree(&found);
    if (status != 0 || matches.empty()) refuse(path, "matches no file");
    return matches;
  }

  fs::path resolve(const fs::path& path) const {
    std::error_code error;
    fs::path real = fs::canonical(path, error);
    if (error) refuse(path.string(), "cannot be read: " + error.message());
    return real;
  }

  void take(const fs::path& real) {
    std::vector<fs::path> folders;
    const auto visit = [&](const fs::path& path, const fs::file_status& status) {
      if (fs::is_directory(status)) {
        if (folders_.insert(path).second) folders.push_back(path);
      } else if (fs::is_regular_file(status)) {
        add_file(path);
      }  // sockets, pipes and devices inside a folder are no text
    };
    visit(real, fs::status(real));
    while (!folders.empty()) {
      const fs::path folder = std::move(folders.back());
      folders.pop_back();
      std::error_code error;
      for (fs::directory_iterator at(folder, error), last; !error && at != last; at.increment(error)) {
        if (at->path().filename().native().front() == '.') continue;
        const fs::path path = at->is_symlink() ? resolve(at->path()) : at->path();
        visit(path, fs::status(path));
      }
      if (error) refuse(folder.string(), "cannot be read: " + error.message());
    }
  }

  void add_file(const fs::path& path) {
    std::error_code error;
    const auto size = fs::file_size(path, error);
    if (error) refuse(path.string(), "cannot be read: " + error.message());
    // Macintoshes put empty ones ("Icon\r") into folders, which are no text.
    if (size > 0 && has_controls(path.native()))
      refuse(path.string(), "has a control character in its name; rename it");
    // Now, rather than in the middle of a run when the first sample of this file is due.
    if (access(path.c_str(), R_OK) != 0) refuse(path.string(), message("cannot be read: ", std::strerror(errno)));
    if (const std::string compression = compression_of_file(path.native()); !compression.empty())
      refuse(path.string(), compressed_text(compression, path.string()));
    files_.emplace(path.native(), static_cast<int64_t>(size));
  }

  std::string key_;
  std::set<fs::path> folders_;
  std::map<std::string, int64_t> files_;
};

}  // namespace

std::vector<CorpusFile> find_corpus_files(const std::vector<std::string>& paths, const std::string& key) {
  Walk walk(key);
  for (const std::string& path : paths) walk.add(path);
  std::vector<CorpusFile> files = walk.files();
  if (files.empty()) throw Error(ExitCode::bad_input, message(key, ": no bytes found in ", join(paths)));
  return files;
}

std::vector<CorpusFile> find_files_of(const std::string& path, const std::string& key) {
  Walk walk(key);
  walk.add(path);
  return walk.files();
}

}  // namespace interlock
