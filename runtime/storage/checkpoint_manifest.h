#pragma once
// The manifest of a checkpoint as text <-> struct. The text is JSON whose last field is the SHA-256 of all bytes before
// it, so that no bit of it can change unseen.

#include <cstdint>
#include <string>
#include <string_view>

#include "runtime/storage/checkpoint.h"

namespace interlock {

inline constexpr const char* manifest_name = "manifest.json";
// Far above any real one, and it keeps a hostile one from filling the memory.
inline constexpr uint64_t manifest_limit = 64'000'000;

// Error(cannot_write) names what cannot stand in a manifest: text that is not UTF-8, a file name that is not plain or
// stands twice.
std::string print_manifest(const CheckpointManifest& manifest);
// Error(bad_input) names `name` and the rule that was broken.
CheckpointManifest parse_manifest(std::string_view text, const std::string& name);
// A JSON object with the hash of its text added, as parse_manifest expects it.
std::string sealed(std::string object);

}  // namespace interlock
