#pragma once
// One limit on how deep a TOML text nests, by dotted keys, headers, inline tables and lists together. toml++ limits
// brackets alone; a key a.a.a... makes a table of tables whose destructor calls itself once per level.

#include <string>
#include <string_view>

namespace interlock {

inline constexpr int most_toml_depth = 256;

// Looks at the text before it is parsed. Error(config) names file and line.
void check_toml_depth(std::string_view toml, const std::string& file);

}  // namespace interlock
