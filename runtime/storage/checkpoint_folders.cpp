// Names and listing.

#include "runtime/storage/checkpoint_folders.h"

#include <algorithm>
#include <cassert>
#include <charconv>
#include <filesystem>
#include <random>

#include "runtime/core/error.h"
#include "runtime/storage/checkpoint.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view step_prefix = "step-";

// What lies in a folder; nothing when it is not there. Error(bad_input) when it cannot be looked at: what is in it is
// then unknown, and nobody may take it for empty.
std::vector<std::string> entries_of(const std::string& folder) {
  std::error_code problem;
  if (fs::symlink_status(folder, problem).type() == fs::file_type::not_found) return {};
  std::vector<std::string> found;
  fs::directory_iterator entry(folder, problem);
  for (; !problem && entry != fs::directory_iterator(); entry.increment(problem))
    found.push_back(entry->path().string());
  if (problem)
    throw Error(ExitCode::bad_input, message(folder, ": cannot be looked at for checkpoints: ", problem.message()));
  return found;
}

}  // namespace

std::string checkpoint_name(int64_t step) {
  assert(step >= 0);
  const std::string digits = std::to_string(step);
  return message(step_prefix, std::string(8 - std::min<size_t>(digits.size(), 8), '0'), digits);
}

std::string checkpoints_folder(const std::string& run_folder) {
  return (fs::path(run_folder) / "checkpoints").string();
}

std::string staging_folder(const std::string& run_folder, int64_t step, const std::string& nonce) {
  assert(!nonce.empty() && nonce.find('/') == std::string::npos);
  return (fs::path(checkpoints_folder(run_folder)) / (staging_prefix + checkpoint_name(step) + "-" + nonce)).string();
}

std::optional<int64_t> step_of_name(const std::string& name) {
  if (!name.starts_with(step_prefix)) return std::nullopt;
  int64_t step = 0;
  const char *begin = name.data() + step_prefix.size(), *end = name.data() + name.size();
  const auto [stop, problem] = std::from_chars(begin, end, step);
  if (problem != std::errc{} || stop != end || step < 0 || checkpoint_name(step) != name) return std::nullopt;
  return step;
}

std::string own_name(const std::string& folder) {
  std::error_code problem;
  const fs::path real = fs::canonical(folder, problem);
  return (problem ? fs::path(folder) : real).filename().string();
}

std::optional<std::string> nonce_of_staging(const std::string& name) {
  if (!name.starts_with(staging_prefix)) return std::nullopt;
  const std::string rest = name.substr(std::string_view(staging_prefix).size());
  const size_t dash = rest.find('-', step_prefix.size());
  if (dash == std::string::npos || !step_of_name(rest.substr(0, dash))) return std::nullopt;
  return rest.substr(dash + 1);
}

std::string trash_path(const std::string& folder, const std::string& name) {
  std::random_device random;
  return (fs::path(folder) / message(trash_prefix, name, "-", std::hex, random(), random())).string();
}

std::vector<std::string> list_checkpoints(const std::string& run_folder) {
  std::vector<std::pair<int64_t, std::string>> found;
  for (const std::string& path : entries_of(checkpoints_folder(run_folder))) {
    std::error_code vanished;
    const auto step = step_of_name(fs::path(path).filename().string());
    if (step && fs::is_directory(fs::symlink_status(path, vanished))) found.emplace_back(*step, path);
  }
  std::sort(found.rbegin(), found.rend());
  std::vector<std::string> folders;
  for (auto& [step, path] : found) folders.push_back(std::move(path));
  return folders;
}

std::vector<std::string> no_checkpoint_folders(const std::string& run_folder) {
  std::vector<std::string> found;
  for (const std::string& path : entries_of(checkpoints_folder(run_folder))) {
    std::error_code problem;
    if (step_of_name(fs::path(path).filename().string()) && !fs::is_directory(fs::symlink_status(path, problem)))
      found.push_back(path);
  }
  std::sort(found.rbegin(), found.rend());
  return found;
}

}  // namespace interlock
