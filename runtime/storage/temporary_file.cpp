// Atomic writes by POSIX calls.

#include "runtime/storage/temporary_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <random>

#include "runtime/core/error.h"

namespace interlock {
namespace {

// A network file system may be interrupted while it waits for its server.
int sync_file(int file) {
  int status;
  do {
    status = ::fsync(file);
  } while (status != 0 && errno == EINTR);
  return status;
}

// Where a chain of links ends, whether or not something is there. "" when it leads through /proc, as /dev/stdout does:
// what lies there is open already, and is no name to replace.
std::string end_of_links(const std::string& path) {
  namespace fs = std::filesystem;
  constexpr int most_links = 40;  // the kernel's own limit
  fs::path at = path;
  for (int link = 0; link < most_links; ++link) {
    std::error_code problem;
    const fs::path folder = fs::weakly_canonical(at.has_parent_path() ? at.parent_path() : ".", problem);
    if (folder.string().starts_with("/proc/")) return "";
    const fs::path next = fs::read_symlink(at, problem);
    if (problem) return at.string();
    at = next.is_absolute() ? next : at.parent_path() / next;
  }
  fail_to_write(path, ELOOP);
}

// Nobody's file to replace: what is written goes there at once.
int open_in_place(const std::string& path) {
  const int file = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY);
  if (file < 0) fail_to_write(path, errno);
  return file;
}

}  // namespace

void fail_to_write(const std::string& path, int reason) {
  std::string advice;
  if (reason == ENOSPC || reason == EDQUOT) advice = "; free some space or choose another folder";
  if (reason == EACCES || reason == EROFS || reason == EPERM) advice = "; choose a folder you may write to";
  if (reason == ENOENT) advice = "; make its folder first";
  throw Error(ExitCode::cannot_write, message("cannot write ", path, ": ", std::strerror(reason), advice));
}

void sync_folder(const std::string& folder) {
  const int file = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (file < 0) fail_to_write(folder, errno);
  const int status = sync_file(file);
  const int reason = errno;
  ::close(file);
  if (status != 0 && reason != EINVAL) fail_to_write(folder, reason);  // EINVAL: this file system cannot sync folders
}

int create_temporary(const std::string& path, std::string& temporary) {
  temporary.clear();
  struct stat status;
  const bool there = ::stat(path.c_str(), &status) == 0;
  if (there && S_ISDIR(status.st_mode)) fail_to_write(path, EISDIR);
  const std::string target = end_of_links(path);
  if (target.empty() || (there && !S_ISREG(status.st_mode))) return open_in_place(path);
  std::random_device random;
  for (int attempt = 0; attempt < 100; ++attempt) {
    const std::string candidate = message(target, ".", std::hex, random(), random(), ".tmp");
    const int file = ::open(candidate.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file >= 0) {
      temporary = candidate;
      return file;
    }
    if (errno != EEXIST) fail_to_write(path, errno);
  }
  fail_to_write(path, EEXIST);
}

void write_all(int file, std::span<const std::byte> bytes, const std::string& path) {
  constexpr size_t piece = size_t{1} << 30;  // Linux writes at most 2 GiB - 4 KiB in one call
  while (!bytes.empty()) {
    const ssize_t written = ::write(file, bytes.data(), std::min(bytes.size(), piece));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail_to_write(path, errno);
    if (written == 0) fail_to_write(path, EIO);
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
}

void publish(int& file, std::string& temporary, const std::string& path) {
  const bool in_place = temporary.empty();
  if (!in_place && sync_file(file) != 0) fail_to_write(path, errno);
  const int status = ::close(file);
  file = -1;
  if (status != 0) fail_to_write(path, errno);
  if (in_place) return;
  const std::string target = end_of_links(path);
  if (::rename(temporary.c_str(), target.c_str()) != 0) fail_to_write(path, errno);
  temporary.clear();
  const std::filesystem::path folder = std::filesystem::path(target).parent_path();
  sync_folder(folder.empty() ? "." : folder.string());
}

void discard(int& file, std::string& temporary) noexcept {
  if (file >= 0) ::close(file);
  if (!temporary.empty()) ::unlink(temporary.c_str());
  file = -1;
  temporary.clear();
}

}  // namespace interlock
