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

[[noreturn]] void fail(const std::string& path, int reason) {
  std::string advice;
  if (reason == ENOSPC || reason == EDQUOT) advice = "; free some space or choose another folder";
  if (reason == EACCES || reason == EROFS || reason == EPERM) advice = "; choose a folder you may write to";
  if (reason == ENOENT) advice = "; make its folder first";
  throw Error(ExitCode::cannot_write, message("cannot write ", path, ": ", std::strerror(reason), advice));
}

// Without this the rename itself may be lost in a power cut.
void sync_folder(const std::string& path) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  const int file = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (file < 0) fail(path, errno);
  const int status = ::fsync(file);
  const int reason = errno;
  ::close(file);
  if (status != 0 && reason != EINVAL) fail(path, reason);  // EINVAL: this file system cannot sync folders
}

}  // namespace

int create_temporary(const std::string& path, std::string& temporary) {
  struct stat status;
  if (::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) fail(path, EISDIR);
  std::random_device random;
  for (int attempt = 0; attempt < 100; ++attempt) {
    const std::string candidate = message(path, ".", std::hex, random(), random(), ".tmp");
    const int file = ::open(candidate.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file >= 0) {
      temporary = candidate;
      return file;
    }
    if (errno != EEXIST) fail(path, errno);
  }
  fail(path, EEXIST);
}

void write_all(int file, std::span<const std::byte> bytes, const std::string& path) {
  constexpr size_t piece = size_t{1} << 30;  // Linux writes at most 2 GiB - 4 KiB in one call
  while (!bytes.empty()) {
    const ssize_t written = ::write(file, bytes.data(), std::min(bytes.size(), piece));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail(path, errno);
    if (written == 0) fail(path, EIO);
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
}

void publish(int& file, std::string& temporary, const std::string& path) {
  if (::fsync(file) != 0) fail(path, errno);
  const int status = ::close(file);
  file = -1;
  if (status != 0) fail(path, errno);
  if (::rename(temporary.c_str(), path.c_str()) != 0) fail(path, errno);
  temporary.clear();
  sync_folder(path);
}

void discard(int& file, std::string& temporary) noexcept {
  if (file >= 0) ::close(file);
  if (!temporary.empty()) ::unlink(temporary.c_str());
  file = -1;
  temporary.clear();
}

}  // namespace interlock
