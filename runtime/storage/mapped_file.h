#pragma once
// A read-only memory map of a whole regular file. The descriptor is closed at once, so that thousands may be mapped.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace interlock {

// Whether a symbolic link is opened. Files that another file names (a manifest) are not links: where such a link leads
// nobody has said.
enum class Links : uint8_t { follow, refuse };

class MappedFile {
 public:
  // Error(bad_input) for what is missing, unreadable, not a regular file (a pipe is not waited for), or changes its
  // size while it is mapped.
  explicit MappedFile(const std::string& path, Links links = Links::follow);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  // Bytes [begin, begin + count) have been read: their pages, and those that a fault brought in with them, no longer
  // count as this process's memory. They stay in the system's cache, and come back when they are read.
  void release(size_t begin, size_t count) const;

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace interlock
