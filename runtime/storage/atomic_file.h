#pragma once
// Small whole files, written so that a reader sees the old content or the new, never a part.

#include <string>

namespace interlock {

// Temporary sibling, checked writes, fsync, rename, fsync of the folder. Error(cannot_write) names the path and the
// reason.
void write_atomically(const std::string& path, const std::string& content);
std::string read_whole(const std::string& path);  // Error(bad_input) when it cannot be read

}  // namespace interlock
