// Options for text that is read, and small things the parts of `tokenize` share.

#include "launch/commands/tokenize/input.h"
#include "launch/terminal/number_option.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <set>
#include <thread>

#include "runtime/core/error.h"
#include "runtime/core/nearest_name.h"
#include "runtime/data/corpus_files.h"

namespace interlock {

namespace fs = std::filesystem;

void TokenizeInput::declare(CLI::App& app) {
  app.add_option("--input", paths_, "text files, folders (all that is below), globs")->type_name("PATH")->required();
  app.add_option("--document", document_, "what a document is: file, line, blank_line or jsonl:FIELD")
      ->capture_default_str();
  app.add_option("--invalid-utf8", invalid_, "what to do about bytes that are not UTF-8: error or replace (by U+FFFD)")
      ->check(CLI::IsMember({"error", "replace"}))
      ->capture_default_str();
  app.add_option("--threads", threads_, "threads that work (default: one for each core)")
      ->transform(whole_number(1, 1024));
}

int TokenizeInput::threads() const {
  return threads_ > 0 ? threads_ : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

// Files in the order they are given, those of a folder or glob sorted, each once.
std::vector<std::string> TokenizeInput::files() const {
  find_corpus_files(paths_, "--input");  // complains about all that is wrong
  std::vector<std::string> ordered;
  std::set<std::string> seen;
  for (const std::string& path : paths_) {
    for (const CorpusFile& file : find_files_of(path, "--input")) {
      if (seen.insert(file.path).second) ordered.push_back(file.path);
    }
  }
  return ordered;
}

void refuse_existing(const std::vector<std::string>& files, bool overwrite) {
  if (overwrite) return;
  for (const std::string& file : files) {
    std::error_code ignored;
    if (fs::exists(fs::symlink_status(file, ignored)))
      throw Error(ExitCode::cannot_write,
                  message(file, " is there already; choose another --output, or say --overwrite"));
  }
}

std::string with_commas(int64_t number) {
  std::string text = std::to_string(number);
  for (int64_t at = static_cast<int64_t>(text.size()) - 3; at > (number < 0 ? 1 : 0); at -= 3)
    text.insert(static_cast<size_t>(at), ",");
  return text;
}

}  // namespace interlock
