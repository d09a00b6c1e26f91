// Which files of a folder are its tokenizer.
#include "runtime/data/tokenizer/read_content.h"

#include <filesystem>

#include "runtime/core/error.h"
#include "runtime/data/tokenizer/side_files.h"

namespace interlock {

namespace fs = std::filesystem;

TokenizerContent read_content(const std::string& path) {
  std::error_code ignored;
  const fs::path folder = path;
  if (!fs::exists(folder, ignored)) throw Error(ExitCode::bad_input, message("tokenizer ", path, " does not exist"));
  if (!fs::is_directory(folder, ignored)) return read_tokenizer_json(path);
  // A link that leads nowhere is there: it is named, not passed over.
  const auto has = [&](const char* name) { return fs::exists(fs::symlink_status(folder / name, ignored)); };
  const auto with_side_files = [&](TokenizerContent content, VocabularyFrom from) {
    lay_side_files_over(content, path, from);
    check_content(content, path);
    return content;
  };
  if (has("tokenizer.json"))
    return with_side_files(read_tokenizer_json(folder / "tokenizer.json"), VocabularyFrom::tokenizer_json);
  if (has("vocab.json") && has("merges.txt"))
    return with_side_files(read_vocabulary_and_merges(folder / "vocab.json", folder / "merges.txt"),
                           VocabularyFrom::pair);
  if (has("encoder.json") && has("vocab.bpe"))  // fairseq's names: it has no such files beside them
    return read_vocabulary_and_merges(folder / "encoder.json", folder / "vocab.bpe");
  throw Error(ExitCode::bad_input, message(path,
                                           " holds no tokenizer: tokenizer.json, or vocab.json and merges.txt, or "
                                           "encoder.json and vocab.bpe are expected"));
}

}  // namespace interlock
