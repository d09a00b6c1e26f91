#pragma once
// Suggestions for a name that is not known.

#include <string>
#include <vector>

namespace interlock {

// The known name with the smallest edit distance to `name`, or "" when none is close (distance > max(2, length / 3)).
std::string nearest_name(const std::string& name, const std::vector<std::string>& known);

// "a, b, c", for messages.
std::string join(const std::vector<std::string>& names, const std::string& separator = ", ");

// The sentence for an unknown name: what it is, the nearest known one, and all that are known.
// unknown_name("schedule", "wavefrnt", ...) -> `unknown schedule "wavefrnt"; did you mean "wavefront"? Known: gpipe,
// wavefront`
std::string unknown_name(const std::string& what, const std::string& name, const std::vector<std::string>& known);

}  // namespace interlock
