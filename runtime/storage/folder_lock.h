#pragma once
// One writer per folder. The lock is the kernel's (flock on FOLDER/lock) and goes with the process, however that ends;
// what stands in the file only tells others who holds it.

#include <string>

namespace interlock {

class FolderLock {
 public:
  // Error(cannot_write) names the folder and, when another holds it, the owner: host, process, start, run. A folder on
  // a file system without locks is used unlocked, with a warning.
  FolderLock(const std::string& folder, const std::string& run_id);
  ~FolderLock();  // removes the file and lets go
  FolderLock(const FolderLock&) = delete;
  // Nobody else writes here: false on a file system without locks, where that is not known.
  bool holds() const { return holds_; }

  static constexpr const char* file_name = "lock";

 private:
  std::string path_;
  int file_ = -1;
  bool holds_ = false;
};

}  // namespace interlock
