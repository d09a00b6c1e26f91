#pragma once
// A child that is stopped at each of its calls that change files, so that a test can kill it at the n-th, or write down
// all of them. Linux's ptrace.

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace interlock {

struct FileCall {
  enum class Kind : uint8_t { open, write, sync, close, rename, exchange, make_folder, remove };
  Kind kind{};
  int file = -1;                   // of write, sync, close; what open returned
  bool creates = false;            // open made or emptied a file, or may have
  std::string path{}, new_path{};  // absolute, as far as the call says
  std::string data{};              // of write: what was really written
};

class TracedProcess {
 public:
  // Starts `words`. `problem()` says why a process cannot be traced here; empty when it can.
  explicit TracedProcess(const std::vector<std::string>& words);
  ~TracedProcess();
  TracedProcess(const TracedProcess&) = delete;
  const std::string& problem() const { return problem_; }

  // Lets it run until it is about to make its n-th call that changes files, counted from 1, and kills it there. False
  // when it ended before.
  bool kill_at(int64_t n);
  // Lets it run to its end and tells every such call that succeeded, in order.
  void record(const std::function<void(const FileCall&)>& tell);
  // What it wrote to its standard output until now.
  std::string output();

 private:
  bool next_stop();  // false at the end
  std::string path_at(uint64_t address) const;
  std::string absolute(int folder, const std::string& path) const;

  pid_t child_ = -1;
  int output_ = -1;
  bool ended_ = false;
  std::string problem_;
};

}  // namespace interlock
