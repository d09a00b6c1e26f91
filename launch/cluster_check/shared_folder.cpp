// One file of rank 0 that all look for, and that only rank 0 can lock.
#include "launch/cluster_check/shared_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <optional>
#include <random>
#include <span>
#include <thread>

#include "parallel/transport/group.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;

fs::path existing_folder(const std::string& run_folder) {
  std::error_code absent;
  fs::path folder = fs::absolute(run_folder, absent);
  while (!fs::is_directory(folder, absent) && folder.has_parent_path() && folder != folder.parent_path())
    folder = folder.parent_path();
  return folder;
}

class OpenFile {
 public:
  OpenFile(const fs::path& path, int flags) : file_(open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW, 0600)) {}
  ~OpenFile() {
    if (file_ >= 0) close(file_);
  }
  OpenFile(const OpenFile&) = delete;
  bool is_open() const { return file_ >= 0; }
  // 0, or the error.
  int lock() const { return flock(file_, LOCK_EX | LOCK_NB) == 0 ? 0 : errno; }

 private:
  int file_;
};

std::string appears(const fs::path& file, std::chrono::milliseconds patience) {
  const auto limit = std::chrono::steady_clock::now() + patience;
  std::error_code absent;
  while (!fs::exists(file, absent)) {
    if (std::chrono::steady_clock::now() > limit)
      return message("does not see a file that rank 0 made in ", file.parent_path().string());
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return "";
}

std::string can_write(const fs::path& file) {
  const bool made = OpenFile(file, O_WRONLY | O_CREAT | O_EXCL).is_open();
  const int problem = errno;
  std::error_code ignored;
  fs::remove(file, ignored);
  return made ? "" : message("cannot write in ", file.parent_path().string(), ": ", std::strerror(problem));
}

// While rank 0 holds it.
std::string feels_lock(const fs::path& file) {
  const OpenFile seen(file, O_RDWR);
  if (!seen.is_open()) return message("cannot open ", file.string(), ": ", std::strerror(errno));
  const int problem = seen.lock();
  if (problem == EWOULDBLOCK) return "";
  if (problem == 0) return message("does not feel the lock that rank 0 holds in ", file.parent_path().string());
  return message("has no locks in ", file.parent_path().string(), ": ", std::strerror(problem));
}

}  // namespace

std::vector<std::string> check_shared_folder(Group& world, const std::string& run_folder,
                                             std::chrono::milliseconds patience) {
  const int rank = world.position();
  uint64_t nonce = (uint64_t{std::random_device{}()} << 32) ^ std::random_device{}();
  world.broadcast(std::as_writable_bytes(std::span(&nonce, 1)), 0);
  const fs::path folder = existing_folder(run_folder);
  const std::string name = message(".interlock-doctor-", std::hex, nonce);
  const fs::path common = folder / name;
  std::string problem = can_write(folder / message(name, "-", rank));
  std::optional<OpenFile> held;
  if (rank == 0 && problem.empty()) {
    held.emplace(common, O_RDWR | O_CREAT | O_EXCL);
    const int refused = held->is_open() ? held->lock() : errno;
    if (refused != 0) problem = message("cannot lock a file in ", folder.string(), ": ", std::strerror(refused));
  }
  world.barrier();
  if (rank != 0 && problem.empty()) problem = appears(common, patience);
  if (rank != 0 && problem.empty()) problem = feels_lock(common);
  std::vector<std::string> problems = world.gather(problem, 0);
  std::error_code ignored;
  if (rank == 0) fs::remove(common, ignored);
  return problems;
}

}  // namespace interlock
