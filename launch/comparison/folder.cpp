#include "launch/comparison/folder.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "runtime/core/error.h"
#include "runtime/core/nearest_name.h"
#include "runtime/storage/atomic_file.h"
#include "runtime/storage/json_file.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Values = std::map<std::string, std::string>;

// "data.sequence_length was 32, now 64"
std::vector<std::string> changes_between(const Values& before, const Values& now) {
  std::set<std::string> keys;
  for (const Values* values : {&before, &now})
    for (const auto& [key, value] : *values) keys.insert(key);
  const auto in = [](const Values& values, const std::string& key) {
    const auto found = values.find(key);
    return found == values.end() ? std::string("not set") : found->second;
  };
  std::vector<std::string> changes;
  for (const std::string& key : keys)
    if (in(before, key) != in(now, key))
      changes.push_back(message(key, " was ", in(before, key), ", now ", in(now, key)));
  return changes;
}

}  // namespace

void ComparisonFolder::check(const std::string& path, const Values& base) {
  std::error_code problem;
  if (!fs::exists(path, problem)) return;
  if (!fs::is_directory(path, problem))
    throw Error(ExitCode::cannot_write, message("--output: ", path, " exists and is not a folder"));
  const fs::path file = fs::path(path) / file_name;
  if (!fs::exists(file, problem)) {
    bool empty = true;
    for (const auto& entry : fs::directory_iterator(path, problem))
      empty = empty && entry.path().filename() == FolderLock::file_name;
    if (empty) return;
    throw Error(ExitCode::cannot_write,
                message("--output: ", path, " holds something else than a comparison, and is kept; choose another"));
  }
  const json kept = read_json(file.string());
  if (!kept.is_object() || !kept.contains("base") || !kept["base"].is_object())
    throw Error(ExitCode::bad_input, message(file.string(), ": is damaged; choose another --output"));
  const std::vector<std::string> changes = changes_between(kept["base"].get<Values>(), base);
  if (changes.empty()) return;
  throw Error(ExitCode::config,
              message("--output: the comparison in ", path, " was begun with another config: ", join(changes, "; "),
                      ". Its arms would not be comparable: choose another --output, "
                      "or give the config that it was begun with"));
}

void ComparisonFolder::check_data(const Values& data) const {
  const json kept = read_json(file(file_name));
  if (!kept.contains("data"))  // of a program that did not look: from now on
    return write_atomically(file(file_name), json{{"base", kept["base"]}, {"data", data}}.dump(2) + "\n");
  if (!kept["data"].is_object() || !std::ranges::all_of(kept["data"], &json::is_string))
    throw Error(ExitCode::bad_input, message(file(file_name), ": is damaged; choose another --output"));
  const std::vector<std::string> changes = changes_between(kept["data"].get<Values>(), data);
  if (changes.empty()) return;
  throw Error(ExitCode::config,
              message("--output: the comparison in ", path_, " was begun with other data: ", join(changes, "; "),
                      ". Its arms would not be comparable: choose another --output, or put the data back"));
}

ComparisonFolder::ComparisonFolder(const std::string& path, const Values& base, const Values& data) : path_(path) {
  check(path, base);
  std::error_code problem;
  fs::create_directories(fs::path(path) / "arms", problem);
  if (problem) throw Error(ExitCode::cannot_write, message("--output: cannot create ", path, ": ", problem.message()));
  lock_ = std::make_unique<FolderLock>(path, "comparison");
  if (fs::exists(file(file_name)))
    check_data(data);
  else
    write_atomically(file(file_name), json{{"base", base}, {"data", data}}.dump(2) + "\n");
}

std::string ComparisonFolder::file(const std::string& name) const { return (fs::path(path_) / name).string(); }

}  // namespace interlock
