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
  struct stat status;
  if (::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) fail_to_write(path, EISDIR);
  std::random_device random;
  for (int attempt = 0; attempt < 100; ++attempt) {
    const std::string candidate = message(path, ".", std::hex, random(), random(), ".tmp");
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
  if (sync_file(file) != 0) fail_to_write(path, errno);
  const int status = ::close(file);
  file = -1;
  if (status != 0) fail_to_write(path, errno);
  if (::rename(temporary.c_str(), path.c_str()) != 0) fail_to_write(path, errno);
  temporary.clear();
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  sync_folder(folder.empty() ? "." : folder.string());
}

void discard(int& file, std::string& temporary) noexcept {
  if (file >= 0) ::close(file);
  if (!temporary.empty()) ::unlink(temporary.c_str());
  file = -1;
  temporary.clear();
}

}  // namespace interlock
