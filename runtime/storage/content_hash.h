#pragma once
// The hash that a weights file of ours carries in its metadata, "interlock.sha256": the SHA-256 of the whole file,
// where the 64 digits of this very entry are read as '0'. Files of a checkpoint carry none: their manifest has theirs.

#include <cstdint>
#include <string>

#include "runtime/storage/safetensors.h"

namespace interlock {

inline constexpr const char* content_hash_metadata = "interlock.sha256";
// What stands there until the hash is known.
std::string no_content_hash();

enum class Content : uint8_t { no_hash, whole, changed };

// Reads the whole file, not through its map: a disk that fails is Error(bad_input).
Content examine_content(const SafetensorsFile& file);
// Error(bad_input) when it has changed since it was written. A foreign file, which carries no hash, is taken.
void require_content(const SafetensorsFile& file);
// What is wrong with a file whose content has changed, and what to do.
std::string changed_content_problem();

// Puts the hash into a file whose metadata has no_content_hash(): `temporary` is its name, `file` is open for writing.
// Failures to write name `path`.
void seal_content(int file, const std::string& temporary, const std::string& path);

}  // namespace interlock
