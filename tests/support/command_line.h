#pragma once
// Programs as a person starts them: a process with its output, a deadline, and the question whether it left processes
// behind. Free of torch and MPI.

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace interlock {

using Words = std::vector<std::string>;

struct CommandOptions {
  std::string folder = ".";   // where it runs
  double seconds = 60;        // then it is ended by force: far more than any of these takes on a busy machine
  std::string output_file;    // its stdout, instead of a pipe to us
  uint64_t largest_file = 0;  // bytes (RLIMIT_FSIZE); 0 = no limit
  uint64_t most_memory = 0;   // bytes of its own, mapped files apart (RLIMIT_DATA); 0 = no limit
};

struct CommandResult {
  int code = -1;  // the exit code, or 128 + n when signal n ended it, as a shell says it
  bool timed_out = false;
  std::string output, errors;
  std::string all;  // both, in the order in which they came
  double seconds = 0;
  Words left_running;  // the command lines of processes it started that were there after its end

  // What a person sees last: the reason of a failure must stand in here.
  std::string tail() const { return all.substr(all.size() - std::min<size_t>(all.size(), 1000)); }
};

// A command in a process group of its own. Its processes, however deep, are known by a variable in their environment.
class RunningCommand {
 public:
  explicit RunningCommand(const Words& words, const CommandOptions& options = {});
  ~RunningCommand();  // ends what is left of it
  RunningCommand(const RunningCommand&) = delete;

  // Reads its output until `ready` holds; false when it ended first or the deadline passed.
  bool wait_until(const std::function<bool()>& ready);
  // To its process group, as Ctrl-C does.
  void signal(int number) const;
  // The process of an MPI rank; -1 when there is none.
  pid_t rank(int number) const;
  // Waits for the end, at most `seconds` from now (the deadline of the options when it is sooner).
  CommandResult wait(double seconds = 1e9);

 private:
  using Clock = std::chrono::steady_clock;
  std::vector<pid_t> processes() const;
  bool has_ended();
  void read_some(int milliseconds);
  void end_by_force();

  std::string tag_;
  pid_t child_ = -1;
  int output_ = -1, errors_ = -1, status_ = 0;
  bool ended_ = false;
  Clock::time_point start_, deadline_, end_;
  CommandResult result_;
};

CommandResult run_command(const Words& words, const CommandOptions& options = {});

}  // namespace interlock
