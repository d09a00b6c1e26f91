#include "launch/folders/output_apart.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include "runtime/core/error.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;

// Of runs, of models in the form of Hugging Face and of tokenizers. Pages, pictures and tables beside them are nobody's
// part.
bool is_part(const fs::path& within) {
  constexpr std::array<const char*, 6> kinds{".safetensors", ".toml", ".json", ".jsonl", ".bin", ".idx"};
  constexpr std::array<const char*, 3> names{"merges.txt", "vocab.txt", "lock"};
  const std::string name = within.filename().string(), kind = within.extension().string();
  return std::distance(within.begin(), within.end()) > 1 || std::ranges::find(kinds, kind) != kinds.end() ||
         std::ranges::find(names, name) != names.end() || name.starts_with("events.out.");
}

}  // namespace

void refuse_over_sources(const std::string& option, const std::string& output,
                         const std::vector<std::string>& sources) {
  std::error_code absent;
  if (output.empty() || !fs::exists(output, absent)) return;
  for (const std::string& source : sources) {
    if (source.empty() || !fs::exists(source, absent)) continue;
    if (fs::equivalent(output, source, absent))
      throw Error(ExitCode::usage,
                  message(option, " ", output, " is what is read here (", source, "): writing it would destroy it"));
    if (!fs::is_directory(source, absent) || !fs::is_regular_file(output, absent)) continue;
    const fs::path within = fs::canonical(output, absent).lexically_relative(fs::canonical(source, absent));
    if (!within.empty() && *within.begin() != ".." && is_part(within))
      throw Error(ExitCode::usage,
                  message(option, " ", output, " is a part of ", source, ", which is read here; choose another name"));
  }
}

void refuse_same_output(const std::string& option, const std::string& output, const std::string& other_option,
                        const std::string& other) {
  std::error_code absent;
  if (output.empty() || other.empty()) return;
  if (fs::weakly_canonical(output, absent) == fs::weakly_canonical(other, absent))
    throw Error(ExitCode::usage, message(option, " and ", other_option, " are both to be ", output,
                                         ": the one would replace the other"));
}

}  // namespace interlock
