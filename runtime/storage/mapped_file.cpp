// Maps files with mmap.

#include "runtime/storage/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "runtime/core/error.h"
#include "runtime/core/readable_file.h"

namespace interlock {
namespace {

struct Descriptor {
  int file;
  ~Descriptor() {
    if (file >= 0) ::close(file);
  }
};

[[noreturn]] void refuse(const std::string& path, const std::string& reason) {
  throw Error(ExitCode::bad_input, message("cannot read ", path, ": ", reason));
}

}  // namespace

MappedFile::MappedFile(const std::string& path, Links links) {
  note_file_at_hand(path);
  // O_NONBLOCK: opening a pipe that nobody writes to would wait for ever.
  const Descriptor descriptor{
      ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (links == Links::refuse ? O_NOFOLLOW : 0))};
  if (descriptor.file < 0 && errno == ELOOP && links == Links::refuse) refuse(path, "it is a symbolic link");
  if (descriptor.file < 0) refuse(path, std::strerror(errno));
  struct stat before, after;
  if (::fstat(descriptor.file, &before) != 0) refuse(path, std::strerror(errno));
  if (S_ISDIR(before.st_mode)) refuse(path, "it is a folder");
  if (!S_ISREG(before.st_mode)) refuse(path, "it is not a regular file");
  const auto size = static_cast<size_t>(before.st_size);
  if (size == 0) return;  // an empty map is an error to mmap
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor.file, 0);
  if (data == MAP_FAILED) refuse(path, std::strerror(errno));
  data_ = static_cast<const std::byte*>(data);
  size_ = size;
  if (::fstat(descriptor.file, &after) != 0 || after.st_size != before.st_size) {
    ::munmap(data, size);
    refuse(path, "its size changed while it was opened");
  }
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::release(size_t begin, size_t count) const {
  if (count == 0) return;
  // By one fault, where the system's cache has them (fault_around_bytes).
  constexpr size_t brought_in = size_t{1} << 16;
  const size_t first = begin / brought_in * brought_in;
  const size_t end = std::min(size_, (begin + count + brought_in - 1) / brought_in * brought_in);
  // Advice: where it is not taken, nothing but memory is lost.
  madvise(const_cast<std::byte*>(data_) + first, end - first, MADV_DONTNEED);
}

}  // namespace interlock
