#pragma once
// One arm as a process of its own: `interlock train`, with all that it starts. What fails or is killed there leaves the
// comparison standing, and memory is measured of the arm alone.

#include <functional>
#include <string>
#include <vector>

namespace interlock {

struct ProcessEnd {
  int code = 0;         // 128 + n when signal n ended it
  std::string message;  // the last "interlock: error: ..." that it said, without these words
};

// Runs this program with `arguments`; its output goes to `log`. `meanwhile` is called several times a second; what it
// throws ends the process first (with time to write its checkpoint) and then comes back. Error(gave_up) when no process
// can be started, Error(cannot_write) for the log.
ProcessEnd run_arm_process(const std::vector<std::string>& arguments, const std::string& log,
                           const std::function<void()>& meanwhile);

}  // namespace interlock
