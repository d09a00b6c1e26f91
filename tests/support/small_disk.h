#pragma once
// A disk that is soon full: a tmpfs of a given size over a folder. Needs the right to mount.

#include <sched.h>
#include <sys/mount.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>

namespace interlock {

class SmallDisk {
 public:
  SmallDisk(const std::filesystem::path& folder, size_t bytes) : folder_(folder) {
    std::filesystem::create_directories(folder);
    // In a view of the file systems that only this process and its children have: it vanishes with them, whatever
    // happens.
    static const bool own_view =
        unshare(CLONE_NEWNS) == 0 && mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
    const std::string size = "size=" + std::to_string(bytes);
    mounted_ = own_view && mount("tmpfs", folder.c_str(), "tmpfs", 0, size.c_str()) == 0;
    if (!mounted_) problem_ = std::strerror(errno);
  }
  ~SmallDisk() {
    if (mounted_) umount2(folder_.c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  // Why there is no such disk here; empty when there is.
  const std::string& problem() const { return problem_; }

 private:
  std::filesystem::path folder_;
  bool mounted_ = false;
  std::string problem_;
};

}  // namespace interlock
