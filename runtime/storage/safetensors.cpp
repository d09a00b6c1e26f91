// Opening and writing safetensors files; their headers are safetensors_header.cpp's.

#include "runtime/storage/safetensors.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "runtime/core/compressed.h"
#include "runtime/core/error.h"
#include "runtime/storage/content_hash.h"
#include "runtime/storage/safetensors_header.h"
#include "runtime/storage/sha256.h"
#include "runtime/storage/temporary_file.h"

namespace interlock {
namespace {

class ParsedFile : public SafetensorsFile {
 public:
  // `file` may be null: then the caller keeps the bytes alive.
  ParsedFile(std::shared_ptr<const MappedFile> file, std::span<const std::byte> bytes, const std::string& path)
      : file_(std::move(file)) {
    path_ = path;
    const auto refuse = [&](const std::string& what) { throw Error(ExitCode::bad_input, message(path, ": ", what)); };
    if (bytes.size() < 8) refuse(message("only ", bytes.size(), " bytes: no safetensors file"));
    uint64_t header_size = 0;
    for (size_t i = 0; i < 8; ++i) header_size |= std::to_integer<uint64_t>(bytes[i]) << (8 * i);
    // A length may have the first bytes of a compressed file; behind it stands a header.
    if (const std::string compression = compression_of({reinterpret_cast<const char*>(bytes.data()), 8});
        !compression.empty() && (bytes.size() == 8 || bytes[8] != std::byte{'{'}))
      refuse(compressed_text(compression, path));
    if (header_size > bytes.size() - 8 && bytes.size() > 8 && bytes[8] != std::byte{'{'})
      refuse("no safetensors file, as weights are; a run, a checkpoint or an imported model is named by its folder");
    if (header_size > safetensors_header_limit) {
      refuse(message("no safetensors file, or a corrupt one: its header would be ", header_size,
                     " bytes, the limit is ", safetensors_header_limit));
    }
    if (header_size > bytes.size() - 8) {
      refuse(message("its header is ", header_size, " bytes, the file has ", bytes.size() - 8,
                     " after the length (truncated?)"));
    }
    data_ = bytes.subspan(8 + header_size);
    const std::string_view json(reinterpret_cast<const char*>(bytes.data()) + 8, header_size);
    SafetensorsHeader header = parse_safetensors_header(json, data_.size(), path);
    tensors_ = std::move(header.tensors);
    metadata_ = std::move(header.metadata);
  }

 private:
  std::shared_ptr<const MappedFile> file_;
};

}  // namespace

std::shared_ptr<const SafetensorsFile> SafetensorsFile::open(const std::string& path, Links links) {
  auto file = std::make_shared<const MappedFile>(path, links);
  const auto bytes = file->bytes();
  return std::make_shared<const ParsedFile>(std::move(file), bytes, path);
}

std::shared_ptr<const SafetensorsFile> SafetensorsFile::parse(std::span<const std::byte> bytes,
                                                              const std::string& name) {
  return std::make_shared<const ParsedFile>(nullptr, bytes, name);
}

const TensorEntry* SafetensorsFile::find(const std::string& name) const {
  const auto found = std::lower_bound(tensors_.begin(), tensors_.end(), name,
                                      [](const TensorEntry& tensor, const std::string& n) { return tensor.name < n; });
  return found != tensors_.end() && found->name == name ? &*found : nullptr;
}

std::span<const std::byte> SafetensorsFile::bytes(const TensorEntry& tensor) const {
  assert(tensor.begin <= tensor.end && tensor.end <= data_.size());
  return data_.subspan(tensor.begin, tensor.end - tensor.begin);
}

SafetensorsWriter::SafetensorsWriter(const std::string& path, std::vector<TensorEntry> tensors,
                                     std::map<std::string, std::string> metadata, Sha256* digest)
    : tensors_(std::move(tensors)), path_(path), digest_(digest) {
  metadata.emplace("format", "pt");
  metadata.erase(content_hash_metadata);  // of the file that the metadata came from
  file_ = create_temporary(path, temporary_);
  try {
    if (digest == nullptr && !temporary_.empty()) metadata[content_hash_metadata] = no_content_hash();
    const std::string header = layout_safetensors(tensors_, metadata);
    // Whatever is announced here (a name given twice, an unknown dtype) must be readable later: our own reader says so
    // now.
    parse_safetensors_header(header, tensors_.empty() ? 0 : tensors_.back().end, path);
    std::byte length[8];
    for (size_t i = 0; i < 8; ++i) length[i] = static_cast<std::byte>(header.size() >> (8 * i));
    append(length);
    append(std::as_bytes(std::span(header)));
  } catch (...) {
    discard(file_, temporary_);  // a constructor that throws has no destructor
    throw;
  }
}

SafetensorsWriter::~SafetensorsWriter() { discard(file_, temporary_); }

void SafetensorsWriter::write(const std::string& name, std::span<const std::byte> bytes) {
  // A file with its tensors in another order would look whole.
  const bool its_turn = next_ < tensors_.size() && tensors_[next_].name == name;
  if (!its_turn || bytes.size() != tensors_[next_].end - tensors_[next_].begin)
    throw Error(ExitCode::gave_up, message(path_, ": ", name, " with ", bytes.size(), " bytes is not what comes next, ",
                                           next_ < tensors_.size() ? tensors_[next_].name : "nothing"));
  append(bytes);
  ++next_;
}

void SafetensorsWriter::append(std::span<const std::byte> bytes) {
  if (digest_ == nullptr) return write_all(file_, bytes, path_);
  constexpr size_t piece = size_t{256} << 10;  // still in the cache when it is read for the second time
  while (!bytes.empty()) {
    const auto now = bytes.first(std::min(piece, bytes.size()));
    digest_->add(now);
    write_all(file_, now, path_);
    bytes = bytes.subspan(now.size());
  }
}

void SafetensorsWriter::commit() {
  if (next_ != tensors_.size())
    throw Error(ExitCode::gave_up, message(path_, ": ", tensors_[next_].name, " was announced and never written"));
  // A digest is kept by the caller, and what went into a pipe or a device cannot be come back to.
  if (digest_ == nullptr && !temporary_.empty()) seal_content(file_, temporary_, path_);
  publish(file_, temporary_, path_);
}

}  // namespace interlock
