#pragma once
// The folder of a comparison: what it was begun with, so that it goes on with nothing else, and a lock.

#include <map>
#include <memory>
#include <string>

#include "runtime/storage/folder_lock.h"

namespace interlock {

class ComparisonFolder {
 public:
  static constexpr const char* file_name = "comparison.json";
  // A new folder, an empty one, or one that holds a comparison begun with the same `base` (every key of the config that
  // arms share, with its value). Error(cannot_write) for a folder of something else and for one that another process
  // works in; Error(config) names the keys that have changed since.
  // `data`: what identifies the data that arms share; Error(config) when it is another by now.
  ComparisonFolder(const std::string& path, const std::map<std::string, std::string>& base,
                   const std::map<std::string, std::string>& data);
  // The same refusals, without making or locking anything.
  static void check(const std::string& path, const std::map<std::string, std::string>& base);
  std::string file(const std::string& name) const;

 private:
  void check_data(const std::map<std::string, std::string>& data) const;

  std::string path_;
  std::unique_ptr<FolderLock> lock_;
};

}  // namespace interlock
