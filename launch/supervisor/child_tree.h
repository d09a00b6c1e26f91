#pragma once
// A child process with all that it starts, so that nothing of it outlives its parent. Internal to the supervisor.

#include <sys/types.h>

#include <string>
#include <vector>

namespace interlock {

// mpirun gives every rank a process group of its own, and a rank may be orphaned: signals to mpirun's group miss both.
// So this process adopts orphans (PR_SET_CHILD_SUBREAPER) and finds its descendants in /proc. It must have no other
// children while a ChildTree lives.
class ChildTree {
 public:
  // Starts `command` in a process group of its own: stdin holds `input` (a few hundred bytes at most), stdout ours,
  // stderr a pipe that error_output() reads, its environment ours and `variable` ("NAME=VALUE"). It is told to end
  // (SIGTERM) when this process dies, however that happens.
  explicit ChildTree(const std::vector<std::string>& command, const std::string& input = "",
                     const std::string& variable = "");
  ~ChildTree();  // ends all that is left
  ChildTree(const ChildTree&) = delete;

  int error_output() const { return error_output_; }
  void signal(int number) const;                        // to the child's group
  void kill_all();                                      // SIGKILL to the child and all descendants
  void kill_running(const std::string& program) const;  // SIGKILL to those descendants that run it
  struct Running {
    int processes = 0, watching = 0;
  };
  // How many descendants run this program (an absolute path), and how many of those have a handler for this signal.
  Running running(const std::string& program, int number) const;
  // Collects what has ended. True once the child itself has; status() is then what waitpid said.
  bool has_ended();
  int status() const { return status_; }

 private:
  pid_t child_ = -1;
  int error_output_ = -1, status_ = 0, was_subreaper_ = 0;
  bool ended_ = false;
};

}  // namespace interlock
