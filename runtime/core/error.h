#pragma once
// The two kinds of failure. What a user can cause (config, data, files, a lost rank) is an Error: it names the file,
// key or rank, what was found and what to do, and carries the exit code of the process. What only we can cause is an
// assertion.

#include <sstream>
#include <stdexcept>
#include <string>

namespace interlock {

enum class ExitCode : int {
  done = 0,
  usage = 2,          // the command line itself
  config = 64,        // a key, a value, or a process count that does not fit
  bad_input = 65,     // a data or weights file that is missing or corrupt
  gave_up = 70,       // the loss diverged, or a rank was lost
  cannot_write = 73,  // run folder not writable, disk full
  stopped = 75,       // stopped on request; can be started again
};

class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

// Joins its arguments as `operator<<` prints them: message("stage ", 3, " has no head").
template <class... Parts>
std::string message(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

}  // namespace interlock
