#pragma once
// JSON from files that nobody has checked: bounded in size and depth, and without names that are there twice.

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace interlock {

constexpr size_t most_json_bytes = size_t{256} << 20;  // the largest published vocabularies have 20 MB
constexpr int most_json_depth = 32;

// Error(bad_input) starts with `place` and says where in the text.
nlohmann::json parse_strict_json(std::string_view text, const std::string& place);
// The same for a file, which is refused for its size before it is read.
nlohmann::json read_strict_json(const std::string& path);
std::string read_bounded(const std::string& path);

}  // namespace interlock
