#include "runtime/core/compressed.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>

#include "runtime/core/error.h"

namespace interlock {
namespace {

struct Format {
  std::string_view name, begins, unpack;
};
// RFC 1952, the .xz format's header magic, RFC 8878, bzip2's "BZh", APPNOTE 4.3.7.
constexpr std::array<Format, 5> formats = {{{"gzip", "\x1f\x8b\x08", "gunzip -k"},
                                            {"xz",
                                             std::string_view("\xfd"
                                                              "7zXZ\0",
                                                              6),
                                             "unxz -k"},
                                            {"zstd", "\x28\xb5\x2f\xfd", "unzstd"},
                                            {"bzip2", "BZh", "bunzip2 -k"},
                                            {"zip", "PK\x03\x04", "unzip"}}};

}  // namespace

std::string compression_of(std::string_view first_bytes) {
  for (const Format& format : formats) {
    if (!first_bytes.starts_with(format.begins)) continue;
    // "BZh" might begin a text; behind it stand a digit and the digits of pi.
    if (format.name == "bzip2" && first_bytes.substr(4, 2) != "1A") continue;
    return std::string(format.name);
  }
  return "";
}

std::string compressed_text(const std::string& compression, const std::string& path) {
  for (const Format& format : formats)
    if (format.name == compression)
      return message("is compressed (", compression, "); unpack it first: ", format.unpack, " ", path);
  return "";
}

std::string compression_of_file(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return "";
  std::array<char, 8> first{};
  const ssize_t count = read(file, first.data(), first.size());
  close(file);
  return count > 0 ? compression_of({first.data(), static_cast<size_t>(count)}) : "";
}

}  // namespace interlock
