#pragma once
// A folder for files that are read by this process alone; they may go as soon as they are mapped.

#include <string>

namespace interlock {

class ScratchFolder {
 public:
  // Below TMPDIR, else /tmp. `purpose` goes on with "cannot make a folder for"; Error(cannot_write).
  explicit ScratchFolder(const std::string& purpose);
  ~ScratchFolder();  // with all that is in it
  ScratchFolder(const ScratchFolder&) = delete;
  std::string file(const std::string& name) const;

 private:
  std::string path_;
};

}  // namespace interlock
