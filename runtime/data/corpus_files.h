#pragma once
// From the words a user gives (files, folders, globs) to the list of files of a corpus.

#include <cstdint>
#include <string>
#include <vector>

namespace interlock {

struct CorpusFile {
  std::string path;  // absolute, without symbolic links
  int64_t size = 0;
};

// All regular, non-empty files that `paths` name, each once however often it is reached, sorted by path so that the
// order is the same everywhere. Folders are taken with all that is below them, but without hidden entries (.git and the
// like). Error(bad_input) for a path that does not exist, a glob without a match, what cannot be read, and when no byte
// is found; `key` is the config key the paths come from.
std::vector<CorpusFile> find_corpus_files(const std::vector<std::string>& paths, const std::string& key);
// The files of one of them, and none where it has no bytes.
std::vector<CorpusFile> find_files_of(const std::string& path, const std::string& key);

}  // namespace interlock
