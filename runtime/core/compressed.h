#pragma once
// Files that are compressed, by their first bytes: read as they are they would be noise, and nobody would be told.

#include <string>
#include <string_view>

namespace interlock {

// "gzip", "xz", "zstd", "bzip2" or "zip"; "" for all else. Eight bytes are enough.
std::string compression_of(std::string_view first_bytes);
// What to do about such a file, as part of a sentence: "is compressed (gzip); unpack it first: gunzip -k FILE".
std::string compressed_text(const std::string& compression, const std::string& path);
// Of the file at `path`; "" for one that cannot be read, which is for others to say.
std::string compression_of_file(const std::string& path);

}  // namespace interlock
