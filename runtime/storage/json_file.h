#pragma once
// Small JSON files that somebody else may have written.

#include <nlohmann/json.hpp>
#include <string>

#include "runtime/storage/atomic_file.h"

namespace interlock {

// What read_whole() gives, parsed; a discarded value where it is no JSON. Error(bad_input) also when it is nested more
// than 256 deep: a bracket takes a byte in the file and a hundred in memory.
nlohmann::json read_json(const std::string& path, uint64_t most = most_config_bytes);

}  // namespace interlock
