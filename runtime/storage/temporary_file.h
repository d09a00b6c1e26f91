#pragma once
// The steps of an atomic write: a temporary sibling, checked writes, fsync, rename, fsync of the folder. Every failure
// is Error(cannot_write) with the final path and the system's reason. A symbolic link is followed: what it leads to is
// replaced, and the link stays. What is no regular file (/dev/null, a pipe, /dev/stdout) is written to as it is: there
// `temporary` stays "", and neither fsync nor rename happens. Folders are refused.

#include <cstddef>
#include <span>
#include <string>

namespace interlock {

// Error(cannot_write) with the path, the system's reason (an errno) and what to do about it.
[[noreturn]] void fail_to_write(const std::string& path, int reason);
// Makes the names in a folder durable. Without it a rename may be lost in a power cut.
void sync_folder(const std::string& folder);

// Creates a sibling of what `path` leads to, with an unpredictable name, and puts that name into `temporary`. Returns
// its descriptor.
int create_temporary(const std::string& path, std::string& temporary);
// Writes everything, going on after short writes and interruptions.
void write_all(int file, std::span<const std::byte> bytes, const std::string& path);
// Makes the temporary file durable and gives it its name. Ends with file = -1 and temporary = "".
void publish(int& file, std::string& temporary, const std::string& path);
// Closes and removes what publish did not get to; does nothing after publish.
void discard(int& file, std::string& temporary) noexcept;

}  // namespace interlock
