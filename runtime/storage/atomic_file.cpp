// Whole small files.

#include "runtime/storage/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "runtime/core/error.h"
#include "runtime/storage/temporary_file.h"

namespace interlock {
namespace {

[[noreturn]] void cannot_read(const std::string& path, int reason) {
  throw Error(ExitCode::bad_input, message("cannot read ", path, ": ", std::strerror(reason)));
}

}  // namespace

void write_atomically(const std::string& path, const std::string& content) {
  std::string temporary;
  int file = create_temporary(path, temporary);
  try {
    write_all(file, std::as_bytes(std::span(content)), path);
    publish(file, temporary, path);
  } catch (...) {
    discard(file, temporary);
    throw;
  }
}

std::string read_whole(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) cannot_read(path, errno);
  std::string content;
  std::array<char, 65536> buffer;
  while (true) {
    const ssize_t got = ::read(file, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      const int reason = errno;
      ::close(file);
      if (got < 0) cannot_read(path, reason);
      return content;
    }
    content.append(buffer.data(), static_cast<size_t>(got));
  }
}

}  // namespace interlock
