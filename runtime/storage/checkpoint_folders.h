#pragma once
// The names in a checkpoints folder: checkpoints, staging folders, and what is on its way out. Private to this room.

#include <cstdint>
#include <optional>
#include <string>

namespace interlock {

inline constexpr const char* staging_prefix = ".staging-";
inline constexpr const char* trash_prefix = ".trash-";

// The step that a folder's own name tells; nullopt when it is no checkpoint's name.
std::optional<int64_t> step_of_name(const std::string& name);
// A path, which may end with a slash or be ".", as the last component of where it leads.
std::string own_name(const std::string& folder);
// The nonce of a staging folder's name; nullopt when it is none.
std::optional<std::string> nonce_of_staging(const std::string& name);
// A name in `folder` that nobody has, for what `name` was.
std::string trash_path(const std::string& folder, const std::string& name);

}  // namespace interlock
