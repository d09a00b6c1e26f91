#pragma once
// A file that is written front to back, every write checked. Private to this room.

#include <cstddef>
#include <string>
#include <string_view>

namespace interlock {

class OutputFile {
 public:
  enum class Start { empty, end };  // of a file that exists: it is emptied, or gone on with
  // Creates PATH. What is appended is held back until `buffer_bytes` have gathered; 0 writes through.
  explicit OutputFile(std::string path, size_t buffer_bytes = 0, Start start = Start::empty);
  ~OutputFile();  // closes; what is still held back is dropped, because only a caller can hear of a failure
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  // Error(cannot_write) with path and reason. A record that did not fit is cut off again, so that the file ends with a
  // whole one.
  void append(std::string_view record);
  void flush();  // hands everything to the kernel
  void sync();   // flush, then wait until it is on the disk
  // Whether its name is gone: what is written then is lost with the descriptor.
  bool is_removed() const;

 private:
  [[noreturn]] void fail(const char* doing);

  std::string path_, buffer_;
  size_t buffer_bytes_;
  int descriptor_ = -1;
  long long written_ = 0;
};

}  // namespace interlock
