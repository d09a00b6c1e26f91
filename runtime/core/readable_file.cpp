// Opens without waiting, looks at what it is, reads to its end.

#include "runtime/core/readable_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <mutex>

#include "runtime/core/compressed.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

struct Descriptor {
  int file;
  ~Descriptor() {
    if (file >= 0) ::close(file);
  }
};

std::mutex at_hand_mutex;
std::string& at_hand() {
  static std::string path;
  return path;
}

std::string too_large(uint64_t bytes, uint64_t most) {
  constexpr double mebibyte = 1 << 20;
  return message("it has ", static_cast<double>(bytes) / mebibyte, " MiB, and ", static_cast<double>(most) / mebibyte,
                 " are the most that is read here");
}

}  // namespace

std::optional<std::string> read_regular_file(const std::string& path, uint64_t most, std::string& problem) {
  note_file_at_hand(path);
  const auto refuse = [&](const std::string& why) {
    problem = why;
    return std::nullopt;
  };
  // O_NONBLOCK: opening a pipe that nobody writes to would wait for ever.
  const Descriptor descriptor{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)};
  struct stat status;
  if (descriptor.file < 0 || ::fstat(descriptor.file, &status) != 0) return refuse(std::strerror(errno));
  if (S_ISDIR(status.st_mode)) return refuse(std::strerror(EISDIR));
  if (!S_ISREG(status.st_mode)) return refuse("it is not a regular file");
  const auto size = static_cast<uint64_t>(status.st_size);
  if (size > most) return refuse(too_large(size, most));
  std::string content;
  // Files of /proc tell no size; one byte more shows the end, or that it grows.
  const size_t room = std::clamp<uint64_t>(size + 1, 4096, uint64_t{256} << 10);
  const auto buffer = std::make_unique_for_overwrite<char[]>(room);
  while (true) {
    const ssize_t got = ::read(descriptor.file, buffer.get(), room);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return refuse(std::strerror(errno));
    if (got == 0) return content;
    if (content.empty()) {
      const std::string compression = compression_of({buffer.get(), static_cast<size_t>(got)});
      if (!compression.empty()) return refuse("it " + compressed_text(compression, path));
    }
    content.append(buffer.get(), static_cast<size_t>(got));
    if (content.size() > most) return refuse(too_large(content.size(), most));
  }
}

bool is_regular_file(const std::string& path) {
  struct stat status;
  return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode);
}

bool is_named(const std::string& path) {
  struct stat status;
  return ::lstat(path.c_str(), &status) == 0;
}

void note_file_at_hand(const std::string& path) {
  const std::lock_guard lock(at_hand_mutex);
  at_hand() = path;
}

std::string file_at_hand() {
  const std::lock_guard lock(at_hand_mutex);
  return at_hand();
}

}  // namespace interlock
