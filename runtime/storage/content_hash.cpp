// Hashes a weights file and holds it against the hash it carries.

#include "runtime/storage/content_hash.h"

#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <span>

#include "runtime/core/error.h"
#include "runtime/storage/file_digest.h"
#include "runtime/storage/safetensors_header.h"
#include "runtime/storage/temporary_file.h"

namespace interlock {
namespace {

constexpr size_t digits_of_hash = 64;

// Where in the file the digits stand; 0: they do not stand there as we write them.
uint64_t place_of(const std::string& path, const std::string& digits) {
  std::ifstream file(path, std::ios::binary);
  unsigned char length[8] = {};
  file.read(reinterpret_cast<char*>(length), sizeof length);
  uint64_t size = 0;
  for (size_t i = 0; i < 8; ++i) size |= uint64_t{length[i]} << (8 * i);
  if (!file || size > safetensors_header_limit) return 0;
  std::string header(size, '\0');
  file.read(header.data(), static_cast<std::streamsize>(size));
  if (!file) return 0;
  // A quote inside a name or a value is escaped, so this stands nowhere but at the entry itself.
  const std::string before = message('"', content_hash_metadata, "\":\"");
  const size_t at = header.find(before + digits + '"');
  return at == std::string::npos ? 0 : 8 + at + before.size();
}

}  // namespace

std::string no_content_hash() { return std::string(digits_of_hash, '0'); }

Content examine_content(const SafetensorsFile& file) {
  const auto carried = file.metadata().find(content_hash_metadata);
  if (carried == file.metadata().end()) return Content::no_hash;
  if (carried->second.size() != digits_of_hash) return Content::changed;
  const uint64_t place = place_of(file.path(), carried->second);
  const bool whole = place != 0 && digest_without(file.path(), place, digits_of_hash) == carried->second;
  return whole ? Content::whole : Content::changed;
}

std::string changed_content_problem() {
  return message(
      "its content is not what was written: the SHA-256 in its metadata differs. Take another copy; a program "
      "that changes such a file must leave \"",
      content_hash_metadata, "\" out of the metadata");
}

void require_content(const SafetensorsFile& file) {
  if (examine_content(file) != Content::changed) return;
  throw Error(ExitCode::bad_input, message(file.path(), ": ", changed_content_problem()));
}

void seal_content(int file, const std::string& temporary, const std::string& path) {
  const uint64_t place = place_of(temporary, no_content_hash());
  const std::string digits = digest_without(temporary, place, digits_of_hash);
  if (place == 0 || ::lseek(file, static_cast<off_t>(place), SEEK_SET) < 0) fail_to_write(path, EIO);
  write_all(file, std::as_bytes(std::span(digits)), path);
}

}  // namespace interlock
