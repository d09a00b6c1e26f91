#pragma once
// The safetensors file format, torch-free: u64 header length, JSON header, data. Every rule of the reference
// implementation is enforced on reading (bounds, full coverage without holes or overlaps, unique names, checked
// products), and more: at most 64 dimensions, 1 M tensors, names of 1 KiB. Failures to read are Error(bad_input) with
// file, tensor and reason; failures to write are Error(cannot_write). Source: safetensors/src/tensor.rs of the
// reference implementation.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/storage/mapped_file.h"

namespace interlock {

class Sha256;

struct TensorEntry {
  std::string name;
  std::string dtype;  // "F32", "F64", "BF16", "I64" ...
  std::vector<int64_t> shape;
  uint64_t begin = 0, end = 0;  // byte offsets in the data area
};

// A read-only memory map of a whole file. Tensors are views into it and live as long as it does.
class SafetensorsFile {
 public:
  static std::shared_ptr<const SafetensorsFile> open(const std::string& path, Links links = Links::follow);
  // The same checks on bytes in memory (`name` stands for the file in messages).
  static std::shared_ptr<const SafetensorsFile> parse(std::span<const std::byte> bytes, const std::string& name);
  virtual ~SafetensorsFile() = default;

  const std::vector<TensorEntry>& tensors() const { return tensors_; }  // by name, ascending
  const TensorEntry* find(const std::string& name) const;               // nullptr when absent
  std::span<const std::byte> bytes(const TensorEntry& tensor) const;
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::string& path() const { return path_; }

 protected:
  std::vector<TensorEntry> tensors_;
  std::map<std::string, std::string> metadata_;
  std::span<const std::byte> data_;
  std::string path_;
};

// Writes a file atomically: a temporary sibling, every write checked, fsync, rename, fsync of the folder. Tensors are
// announced first (the header needs all offsets), then written in the order of `order()`, each exactly once and whole.
class SafetensorsWriter {
 public:
  // The offsets in `tensors` are ignored and computed. `metadata` gets {"format": "pt"} added. What is written goes to
  // `digest` too, when there is one: what it then says is the hash of what was meant, whatever the disk made of it.
  SafetensorsWriter(const std::string& path, std::vector<TensorEntry> tensors,
                    std::map<std::string, std::string> metadata = {}, Sha256* digest = nullptr);
  ~SafetensorsWriter();  // removes the temporary file when commit() was not reached
  SafetensorsWriter(const SafetensorsWriter&) = delete;
  const std::vector<TensorEntry>& order() const { return tensors_; }  // dtype by alignment descending, then name
  void write(const std::string& name, std::span<const std::byte> bytes);
  void commit();

 private:
  void append(std::span<const std::byte> bytes);

  std::vector<TensorEntry> tensors_;
  std::string path_, temporary_;
  Sha256* digest_ = nullptr;
  size_t next_ = 0;
  int file_ = -1;
};

}  // namespace interlock
