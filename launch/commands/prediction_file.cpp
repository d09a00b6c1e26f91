#include "launch/commands/prediction_file.h"

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "runtime/core/printable.h"

namespace interlock {
namespace {

std::string ending_of(const std::string& path) {
  std::string ending = std::filesystem::path(path).extension().string();
  std::ranges::transform(ending, ending.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return ending;
}

std::string quoted(const std::string& field) {
  if (field.find_first_of(",\"\r\n") == std::string::npos) return field;
  std::string text = "\"";
  for (const char c : field) text += c == '"' ? std::string("\"\"") : std::string(1, c);
  return text + "\"";
}

}  // namespace

std::string prediction_text(const std::string& path, const std::vector<std::vector<std::string>>& rows,
                            const nlohmann::ordered_json& objects) {
  const std::string ending = ending_of(path);
  std::string text;
  if (ending == ".jsonl" || ending == ".ndjson") {
    for (const auto& one : objects)
      text += one.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
    return text;
  }
  const bool commas = ending == ".csv";
  for (const std::vector<std::string>& row : rows)
    for (size_t i = 0; i < row.size(); ++i)
      text += (commas ? quoted(row[i]) : printable(row[i])) + (i + 1 < row.size() ? (commas ? "," : "\t") : "\n");
  return text;
}

}  // namespace interlock
