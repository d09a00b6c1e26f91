// Owns the checked writes of this room: short writes, interrupted calls and full disks are met here once.
#include "runtime/observe/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "runtime/core/error.h"

namespace interlock {

OutputFile::OutputFile(std::string path, size_t buffer_bytes, Start start)
    : path_(std::move(path)), buffer_bytes_(buffer_bytes) {
  const int empty = start == Start::empty ? O_TRUNC : 0;
  // O_NONBLOCK: a pipe that nobody reads from is refused, not waited for.
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK | empty, 0644);
  if (descriptor_ < 0) fail("open");
  // A slow reader is waited for.
  ::fcntl(descriptor_, F_SETFL, ::fcntl(descriptor_, F_GETFL) & ~O_NONBLOCK);
  // A device has no end, and nothing to go on with.
  if (start == Start::end) written_ = std::max<off_t>(0, ::lseek(descriptor_, 0, SEEK_END));
}

OutputFile::~OutputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void OutputFile::append(std::string_view record) {
  buffer_.append(record);
  if (buffer_.size() >= buffer_bytes_) flush();
}

void OutputFile::flush() {
  size_t done = 0;
  while (done < buffer_.size()) {
    const ssize_t wrote = ::write(descriptor_, buffer_.data() + done, buffer_.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) {
      const int reason = errno;
      buffer_.clear();
      // Best effort: the target may be a device, and the failure below is what the caller has to hear of.
      if (::ftruncate(descriptor_, written_) == 0) ::lseek(descriptor_, written_, SEEK_SET);
      errno = reason;
      fail("write");
    }
    done += static_cast<size_t>(wrote);
  }
  written_ += static_cast<long long>(done);
  buffer_.clear();
}

void OutputFile::sync() {
  flush();
  // EINVAL: the target cannot be synced (a pipe, a device), so there is nothing to lose.
  if (::fsync(descriptor_) != 0 && errno != EINVAL) fail("sync");
}

bool OutputFile::is_removed() const {
  struct stat status;
  return ::fstat(descriptor_, &status) == 0 && status.st_nlink == 0;
}

void OutputFile::fail(const char* doing) {
  const std::string reason = std::strerror(errno);
  throw Error(ExitCode::cannot_write,
              message("cannot ", doing, " ", path_, ": ", reason, "; free some space or choose another run.folder"));
}

}  // namespace interlock
