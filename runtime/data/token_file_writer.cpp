// Writes a pair of files: ids as they come, the index at the end.

#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <limits>

#include "runtime/core/error.h"
#include "runtime/data/token_file.h"
#include "runtime/data/token_index.h"
#include "runtime/storage/temporary_file.h"

namespace interlock {
namespace {

// A file that appears under its name when it is published. Collects small writes.
class BufferedFile {
 public:
  explicit BufferedFile(std::string path) : path_(std::move(path)), file_(create_temporary(path_, temporary_)) {}
  ~BufferedFile() { discard(file_, temporary_); }
  BufferedFile(const BufferedFile&) = delete;

  template <class T>
  void add(T value) {
    if (size_ + sizeof(T) > buffer_.size()) flush();
    std::memcpy(buffer_.data() + size_, &value, sizeof(T));
    size_ += sizeof(T);
  }
  // Down to the disk, still under the temporary name: a full disk shows here.
  void make_durable() {
    flush();
    if (::fsync(file_) != 0) {
      throw Error(ExitCode::cannot_write, message("cannot write ", path_, ": ", std::strerror(errno)));
    }
  }
  void publish_file() { publish(file_, temporary_, path_); }

 private:
  void flush() {
    write_all(file_, std::span(buffer_).first(size_), path_);
    size_ = 0;
  }
  std::string path_, temporary_;
  int file_;
  std::vector<std::byte> buffer_ = std::vector<std::byte>(size_t{1} << 18);
  size_t size_ = 0;
};

}  // namespace

struct TokenFileWriter::State {
  State(const std::string& name, int64_t size, int64_t longest)
      : prefix(name), vocabulary(size), longest_sequence(longest), ids(name + ".bin") {}

  std::string prefix;
  int64_t vocabulary, longest_sequence;
  BufferedFile ids;
  std::vector<int32_t> lengths;       // of whole sequences
  std::vector<int64_t> documents{0};  // the first sequence of each, and the next one
  int64_t open_length = 0;            // tokens of the sequence that is being written

  bool narrow() const { return vocabulary < 65500; }
  void end_sequence() {
    lengths.push_back(static_cast<int32_t>(open_length));
    open_length = 0;
  }
};

TokenFileWriter::TokenFileWriter(const std::string& prefix, int64_t vocabulary, int64_t longest_sequence)
    : state_(std::make_unique<State>(prefix, vocabulary, longest_sequence)) {
  assert(vocabulary >= 1 && vocabulary <= std::numeric_limits<int32_t>::max());
  assert(longest_sequence >= 1 && longest_sequence <= std::numeric_limits<int32_t>::max());
}

TokenFileWriter::~TokenFileWriter() = default;

void TokenFileWriter::add(std::span<const int32_t> ids) {
  add_part(ids);
  end_document();
}

void TokenFileWriter::add_part(std::span<const int32_t> ids) {
  for (const int32_t id : ids) {
    assert(id >= 0 && id < state_->vocabulary);
    if (state_->open_length == state_->longest_sequence) state_->end_sequence();
    if (state_->narrow()) {
      state_->ids.add(static_cast<uint16_t>(id));
    } else {
      state_->ids.add(id);
    }
    ++state_->open_length;
  }
}

void TokenFileWriter::end_document() {
  state_->end_sequence();
  state_->documents.push_back(std::ssize(state_->lengths));
}

void TokenFileWriter::commit() {
  assert(state_->open_length == 0 && "end_document() comes before commit()");
  const std::string index_path = state_->prefix + ".idx";
  BufferedFile index(index_path);
  for (const char byte : {'M', 'M', 'I', 'D', 'I', 'D', 'X', '\0', '\0'}) index.add(byte);
  index.add(uint64_t{1});
  index.add(state_->narrow() ? TokenType::uint16 : TokenType::int32);
  index.add(uint64_t{state_->lengths.size()});
  index.add(uint64_t{state_->documents.size()});
  for (const int32_t length : state_->lengths) index.add(length);
  const int64_t width = state_->narrow() ? 2 : 4;
  int64_t offset = 0;
  for (const int32_t length : state_->lengths) {
    index.add(offset);
    offset += length * width;
  }
  for (const int64_t first : state_->documents) index.add(first);

  // Everything that can fail for lack of space comes before anything that is seen. An index of an older pair goes away
  // first: beside new ids it would be silently wrong.
  index.make_durable();
  state_->ids.make_durable();
  std::error_code error;
  std::filesystem::remove(index_path, error);
  if (error) throw Error(ExitCode::cannot_write, message("cannot replace ", index_path, ": ", error.message()));
  state_->ids.publish_file();
  index.publish_file();
}

}  // namespace interlock
