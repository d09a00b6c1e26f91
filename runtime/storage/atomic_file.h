#pragma once
// Small whole files, written so that a reader sees the old content or the new, never a part.

#include <cstdint>
#include <string>

#include "runtime/core/readable_file.h"

namespace interlock {

// Temporary sibling, checked writes, fsync, rename, fsync of the folder (temporary_file.h says what happens to links,
// devices and pipes). Error(cannot_write) names the path and the reason.
void write_atomically(const std::string& path, const std::string& content);
// A regular file of at most `most` bytes, which a link may lead to. Error(bad_input) when it is none or cannot be read.
std::string read_whole(const std::string& path, uint64_t most = most_config_bytes);
// What grows with a run (metrics, a trace): as much as a machine that made it could have written.
inline constexpr uint64_t most_record_bytes = uint64_t{4} << 30;

}  // namespace interlock
