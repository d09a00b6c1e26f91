#include "launch/folders/output_apart.h"

#include <filesystem>
#include <set>

#include "runtime/core/error.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;

// Of runs, of models in the form of Hugging Face and of tokenizers. What lies beside them is nobody's part.
bool is_part(const fs::path& within) {
  static const std::set<std::string> folders{"checkpoints", "tokenizer", "pulse", "trace"};
  static const std::set<std::string> names{"config.toml",
                                           "manifest.json",
                                           "metrics.jsonl",
                                           "trace.json",
                                           "costs.json",
                                           "result.json",
                                           "events.jsonl",
                                           "lock",
                                           "config.json",
                                           "tokenizer.json",
                                           "tokenizer_config.json",
                                           "special_tokens_map.json",
                                           "added_tokens.json",
                                           "vocab.json",
                                           "merges.txt",
                                           "generation_config.json",
                                           "head_config.json",
                                           "adapter_config.json",
                                           "model.safetensors.index.json"};
  const std::string name = within.filename().string();
  return folders.contains(within.begin()->string()) || names.contains(name) || within.extension() == ".safetensors" ||
         name.starts_with("events.out.");
}

// The folders that a source is a part of: itself, of a file of weights the one that it lies in, of a checkpoint its
// run.
std::vector<fs::path> folders_of(const fs::path& source) {
  std::error_code absent;
  const fs::path whole = fs::canonical(source, absent);
  std::vector<fs::path> folders;
  if (fs::is_directory(whole, absent)) folders.push_back(whole);
  if (whole.extension() == ".safetensors") folders.push_back(whole.parent_path());
  for (const fs::path& one : {whole, whole.parent_path()})
    if (one.parent_path().filename() == "checkpoints") folders.push_back(one.parent_path().parent_path());
  return folders;
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
                  message(option, " ", output, " is what is read here (", source, "), and would be replaced"));
    if (!fs::is_regular_file(output, absent)) continue;
    for (const fs::path& folder : folders_of(source)) {
      const fs::path within = fs::canonical(output, absent).lexically_relative(folder);
      if (!within.empty() && *within.begin() != ".." && is_part(within))
        throw Error(ExitCode::usage, message(option, " ", output, " is a part of ", source,
                                             ", which is read here; choose another name"));
    }
  }
}

void refuse_same_output(const std::string& option, const std::string& output, const std::string& other_option,
                        const std::string& other) {
  std::error_code absent;
  if (output.empty() || other.empty()) return;
  if (fs::exists(output, absent) && !fs::is_regular_file(output, absent)) return;  // a device takes both
  if (fs::weakly_canonical(fs::absolute(output), absent) == fs::weakly_canonical(fs::absolute(other), absent))
    throw Error(ExitCode::usage, message(option, " and ", other_option, " are both to be ", output,
                                         ": the one would replace the other"));
}

}  // namespace interlock
