// Whole small files.

#include "runtime/storage/atomic_file.h"

#include <span>
#include <utility>

#include "runtime/core/error.h"
#include "runtime/storage/temporary_file.h"

namespace interlock {

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

std::string read_whole(const std::string& path, uint64_t most) {
  std::string problem;
  if (auto content = read_regular_file(path, most, problem)) return *std::move(content);
  throw Error(ExitCode::bad_input, message("cannot read ", path, ": ", problem));
}

}  // namespace interlock
