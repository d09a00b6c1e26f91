#pragma once
// Techniques as they are named on a command line.

#include <string>
#include <vector>

namespace interlock {

// "adapters:size=64,layers=[0, 1]" and others as an override of a config: `technique=[{name = "adapters", size = 64,
// layers = [0, 1]}, ...]`. A value that is no TOML is a text. Error(usage) for what has no name or no value.
std::string technique_override(const std::vector<std::string>& words);

}  // namespace interlock
