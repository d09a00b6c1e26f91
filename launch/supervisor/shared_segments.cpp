#include "launch/supervisor/shared_segments.h"

#include <sys/stat.h>
#include <unistd.h>

#include <ctime>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>

namespace interlock {
namespace {

namespace fs = std::filesystem;
constexpr const char* prefix = "vader_segment.";

// Of this host alone: a container may share the folder with others, whose processes it does not see.
std::string own_prefix() {
  char host[256] = "";
  ::gethostname(host, sizeof host - 1);
  return std::string(prefix) + host + ".";
}

constexpr int still = 60;  // seconds: ranks that start may not have mapped theirs yet

struct File {
  dev_t device;
  ino_t number;
  auto operator<=>(const File&) const = default;
};

// The segments that processes of this user have mapped; none: there is no /proc. A process that cannot be looked at has
// hidden itself (PR_SET_DUMPABLE), as ranks do not.
std::optional<std::set<File>> mapped_segments() {
  std::set<File> mapped;
  std::error_code problem;
  for (const auto& process : fs::directory_iterator("/proc", problem)) {
    struct stat owner {};
    if (process.path().filename().string().find_first_not_of("0123456789") != std::string::npos) continue;
    if (::stat(process.path().c_str(), &owner) != 0 || owner.st_uid != ::geteuid()) continue;
    std::ifstream maps(process.path() / "maps");
    for (std::string line; std::getline(maps, line);) {
      const size_t path = line.find('/');
      if (path == std::string::npos || line.find(prefix, path) == std::string::npos) continue;
      struct stat file {};
      if (::stat(line.substr(path).c_str(), &file) == 0) mapped.insert({file.st_dev, file.st_ino});
    }
  }
  if (problem) return std::nullopt;
  return mapped;
}

}  // namespace

std::vector<SharedSegment> abandoned_segments(const std::string& folder) {
  std::vector<SharedSegment> found;
  std::error_code absent;
  std::vector<std::string> named;
  const std::string own = own_prefix();
  for (const auto& entry : fs::directory_iterator(folder, absent))
    if (entry.path().filename().string().starts_with(own)) named.push_back(entry.path().string());
  if (named.empty()) return found;
  const auto mapped = mapped_segments();
  if (!mapped) return found;
  for (const std::string& path : named) {
    struct stat file {};
    if (::lstat(path.c_str(), &file) != 0 || !S_ISREG(file.st_mode) || file.st_uid != ::geteuid()) continue;
    if (std::time(nullptr) - file.st_mtime < still || mapped->contains({file.st_dev, file.st_ino})) continue;
    found.push_back({path, static_cast<int64_t>(file.st_blocks) * 512});
  }
  return found;
}

int remove_segments(const std::vector<SharedSegment>& segments) {
  int gone = 0;
  for (const SharedSegment& segment : segments) gone += ::unlink(segment.path.c_str()) == 0;
  return gone;
}

}  // namespace interlock
