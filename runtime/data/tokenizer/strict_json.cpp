// The JSON parser of nlohmann with limits.

#include "runtime/data/tokenizer/strict_json.h"

#include <unordered_set>
#include <vector>

#include "runtime/core/error.h"
#include "runtime/storage/mapped_file.h"

namespace interlock {
namespace {

using nlohmann::json;

// Watches the parser: the names seen in each object that is open.
class Watch {
 public:
  explicit Watch(const std::string& place) : place_(place) {}

  bool operator()(int depth, json::parse_event_t event, json& parsed) {
    switch (event) {
      case json::parse_event_t::object_start:
      case json::parse_event_t::array_start:
        if (depth >= most_json_depth)
          throw Error(ExitCode::bad_input, message(place_, ": nested deeper than ", most_json_depth, " levels"));
        names_.resize(static_cast<size_t>(depth) + 1);
        names_.back().clear();
        break;
      case json::parse_event_t::key:
        if (!names_.back().insert(parsed.get_ref<const std::string&>()).second)
          throw Error(ExitCode::bad_input, message(place_, ": ", parsed.dump(), " is there twice in one object"));
        break;
      case json::parse_event_t::object_end:
      case json::parse_event_t::array_end:
        names_.resize(static_cast<size_t>(depth));
        break;
      case json::parse_event_t::value:
        break;
    }
    return true;
  }

 private:
  std::string place_;
  std::vector<std::unordered_set<std::string>> names_;
};

}  // namespace

json parse_strict_json(std::string_view text, const std::string& place) {
  try {
    Watch watch(place);
    return json::parse(text.begin(), text.end(), std::ref(watch));
  } catch (const json::exception& problem) {
    const std::string words = problem.what();
    const size_t prefix = words.find("] ");  // "[json.exception.parse_error.101] "
    throw Error(ExitCode::bad_input,
                message(place, ": not JSON: ", prefix == std::string::npos ? words : words.substr(prefix + 2)));
  }
}

std::string read_bounded(const std::string& path) {
  const MappedFile file(path);
  const auto bytes = file.bytes();
  if (bytes.size() > most_json_bytes)
    throw Error(ExitCode::bad_input, message(path, ": ", bytes.size() >> 20,
                                             " MiB; no file of a tokenizer has more than ", most_json_bytes >> 20));
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

json read_strict_json(const std::string& path) { return parse_strict_json(read_bounded(path), path); }

}  // namespace interlock
