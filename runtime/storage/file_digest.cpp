// Reads regular files piece by piece.

#include "runtime/storage/file_digest.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <span>

#include "runtime/core/error.h"
#include "runtime/core/readable_file.h"
#include "runtime/storage/sha256.h"

namespace interlock {
namespace {

[[noreturn]] void refuse(const std::string& path, const std::string& reason) {
  throw Error(ExitCode::bad_input, message("cannot read ", path, ": ", reason));
}

class RegularFile {
 public:
  // O_NONBLOCK: opening a pipe that nobody writes to would wait for ever.
  explicit RegularFile(const std::string& path, int links = O_NOFOLLOW)
      : path_(path), file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | links)) {
    if (file_ < 0) refuse(path, errno == ELOOP && links != 0 ? "it is a symbolic link" : std::strerror(errno));
    struct stat status;
    const bool known = ::fstat(file_, &status) == 0;
    size_ = known ? static_cast<uint64_t>(status.st_size) : 0;
    if (known && S_ISREG(status.st_mode)) {
      note_file_at_hand(path);
      return;
    }
    const int reason = errno;
    ::close(file_);
    refuse(path, !known                    ? std::strerror(reason)
                 : S_ISDIR(status.st_mode) ? "it is a folder"
                                           : "it is not a regular file");
  }
  ~RegularFile() { ::close(file_); }
  RegularFile(const RegularFile&) = delete;

  void read(const std::function<void(std::span<const std::byte>)>& take) {
    ::posix_fadvise(file_, 0, 0, POSIX_FADV_SEQUENTIAL);
    // What is hashed next is then still in the cache; and a manifest takes no more than its size, and the end.
    const size_t room = std::min<uint64_t>(size_ + 1, uint64_t{256} << 10);
    const auto buffer = std::make_unique_for_overwrite<std::byte[]>(room);
    while (true) {
      const ssize_t got = ::read(file_, buffer.get(), room);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) refuse(path_, std::strerror(errno));
      if (got == 0) return;
      take({buffer.get(), static_cast<size_t>(got)});
    }
  }

 private:
  std::string path_;
  int file_;
  uint64_t size_ = 0;
};

}  // namespace

FileDigest file_digest(const std::string& path) {
  FileDigest result;
  Sha256 digest;
  RegularFile(path).read([&](std::span<const std::byte> piece) {
    digest.add(piece);
    result.bytes += piece.size();
  });
  result.sha256 = digest.hex();
  return result;
}

std::string digest_without(const std::string& path, uint64_t begin, uint64_t count) {
  Sha256 digest;
  uint64_t at = 0;
  const std::string zeros(count, '0');
  RegularFile(path, 0).read([&](std::span<const std::byte> piece) {
    const uint64_t end = at + piece.size();
    const uint64_t from = std::clamp(begin, at, end), to = std::clamp(begin + count, at, end);
    digest.add(piece.first(from - at));
    digest.add(zeros.substr(0, to - from));
    digest.add(piece.subspan(to - at));
    at = end;
  });
  return digest.hex();
}

std::string read_regular(const std::string& path, uint64_t limit) {
  std::string content;
  RegularFile(path).read([&](std::span<const std::byte> piece) {
    if (piece.size() > limit - content.size()) refuse(path, message("it is longer than ", limit, " bytes"));
    content.append(reinterpret_cast<const char*>(piece.data()), piece.size());
  });
  return content;
}

}  // namespace interlock
