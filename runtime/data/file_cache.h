#pragma once
// Memory maps of the files in use, bounded in number: a corpus may have more files than a process may hold maps.

#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "runtime/data/corpus_files.h"
#include "runtime/storage/mapped_file.h"

namespace interlock {

class FileCache {
 public:
  // Linux allows 65530 maps in a process, libraries included; 4096 per cache leave room for many ranks as threads.
  explicit FileCache(size_t most = 4096) : most_(most) {}
  // The map stays valid for as long as the caller keeps it. Error(bad_input) when the file is gone or has another size
  // than `file` says. May be called from several threads.
  std::shared_ptr<const MappedFile> get(const CorpusFile& file) const;

 private:
  using Entry = std::pair<std::string, std::shared_ptr<const MappedFile>>;
  size_t most_;
  mutable std::mutex mutex_;
  mutable std::list<Entry> recent_;  // used last: first
  mutable std::unordered_map<std::string, std::list<Entry>::iterator> places_;
};

}  // namespace interlock
