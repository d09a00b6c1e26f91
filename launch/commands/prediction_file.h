#pragma once
// What `predict --output` writes, in the form that its file's ending says, so that what reads tables reads it.

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace interlock {

// The first row names the columns. `objects`: the same as a list of JSON objects. A `path` of .csv takes commas and
// quotes (RFC 4180), one of .jsonl or .ndjson an object a line, any other (and "", stdout) tabs, where control
// characters are escaped.
std::string prediction_text(const std::string& path, const std::vector<std::vector<std::string>>& rows,
                            const nlohmann::ordered_json& objects);

}  // namespace interlock
