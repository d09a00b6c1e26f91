#pragma once
// Size and SHA-256 of a file as it lies on the disk, read without mapping it: a file that is cut short meanwhile, or a
// disk that fails, is an error and not a signal.

#include <cstdint>
#include <string>

namespace interlock {

struct FileDigest {
  uint64_t bytes = 0;
  std::string sha256;
};

// A regular file, no link. Error(bad_input).
FileDigest file_digest(const std::string& path);
// The SHA-256 of a regular file, which a link may lead to, with its bytes [begin, begin + count) read as '0'.
std::string digest_without(const std::string& path, uint64_t begin, uint64_t count);
// The content of such a file, which must not be longer than `limit`.
std::string read_regular(const std::string& path, uint64_t limit);

}  // namespace interlock
