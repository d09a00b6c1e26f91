// Locks by flock, which belongs to the open file and so is let go when its process ends.

#include "runtime/storage/folder_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "runtime/core/calendar.h"
#include "runtime/core/error.h"
#include "runtime/core/log.h"
#include "runtime/storage/temporary_file.h"

namespace interlock {
namespace {

std::string owner_text(const std::string& run_id) {
  char host[256] = "?";
  ::gethostname(host, sizeof host - 1);
  return message("host ", host, ", process ", ::getpid(), ", since ", now_utc(), ", run ", run_id, "\n");
}

// As the owner wrote it; it may be about to write.
std::string read_owner(int file) {
  char text[512];
  const ssize_t got = ::pread(file, text, sizeof text, 0);
  std::string owner(text, static_cast<size_t>(std::max<ssize_t>(got, 0)));
  owner = owner.substr(0, owner.find('\n'));
  std::replace_if(
      owner.begin(), owner.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  return owner.empty() ? "an owner that has not said who it is" : owner;
}

// Whether the path still leads to this file: its owner removes it before letting go.
bool is_at(int file, const std::string& path) {
  struct stat ours, there;
  return ::fstat(file, &ours) == 0 && ::lstat(path.c_str(), &there) == 0 && ours.st_ino == there.st_ino &&
         ours.st_dev == there.st_dev;
}

int lock(int file) {
  int status;
  do {
    status = ::flock(file, LOCK_EX | LOCK_NB);
  } while (status != 0 && errno == EINTR);
  return status == 0 ? 0 : errno;
}

}  // namespace

FolderLock::FolderLock(const std::string& folder, const std::string& run_id)
    : path_((std::filesystem::path(folder) / file_name).string()) {
  while (true) {
    file_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
    if (file_ < 0) fail_to_write(path_, errno);
    const int problem = lock(file_);
    holds_ = problem == 0 && is_at(file_, path_);
    if (holds_) break;
    const std::string owner = problem == EWOULDBLOCK ? read_owner(file_) : "";
    if (problem == ENOSYS || problem == ENOLCK || problem == EOPNOTSUPP) {
      log_warning(message(folder, " lies on a file system without locks: take care that no other run writes into it"));
      break;
    }
    ::close(file_);
    file_ = -1;
    if (problem == EWOULDBLOCK) {
      throw Error(ExitCode::cannot_write, message(folder, " is in use by another run (", owner,
                                                  "); wait for its end or choose another folder"));
    }
    if (problem != 0) fail_to_write(path_, problem);
  }
  try {
    if (::ftruncate(file_, 0) != 0) fail_to_write(path_, errno);
    const std::string owner = owner_text(run_id);
    write_all(file_, std::as_bytes(std::span(owner)), path_);
  } catch (const Error& error) {
    // The lock holds without its note, so a full disk is no reason not to go on.
    log_warning(error.what());
  }
}

FolderLock::~FolderLock() {
  if (is_at(file_, path_)) ::unlink(path_.c_str());
  ::close(file_);
}

}  // namespace interlock
