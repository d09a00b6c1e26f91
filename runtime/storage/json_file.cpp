#include "runtime/storage/json_file.h"

#include "runtime/core/error.h"

namespace interlock {
namespace {

constexpr int most_depth = 256;

bool too_deep(std::string_view json) {
  int depth = 0;
  bool in_string = false;
  for (size_t at = 0; at < json.size(); ++at) {
    const char c = json[at];
    if (in_string) {
      at += c == '\\';
      in_string = c != '"';
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > most_depth) return true;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return false;
}

}  // namespace

nlohmann::json read_json(const std::string& path, uint64_t most) {
  const std::string text = read_whole(path, most);
  if (too_deep(text)) throw Error(ExitCode::bad_input, message(path, ": is nested more than ", most_depth, " deep"));
  return nlohmann::json::parse(text, nullptr, false);
}

}  // namespace interlock
