#pragma once
// One arm as a process of its own: `interlock train`, with all that it starts. What fails or is killed there leaves the
// comparison standing, and memory is measured of the arm alone.

#include <sys/resource.h>
#include <sys/types.h>

#include <string>
#include <vector>

namespace interlock {

struct ProcessEnd {
  int code = 0;         // 128 + n when signal n ended it
  std::string message;  // the last "interlock: error: ..." that it said, without these words
};

class ArmProcess {
 public:
  // Runs this program with `arguments`, on the `gpus` that CUDA_VISIBLE_DEVICES is to name ("": as it stands); its
  // output goes to `log`. Error(gave_up) when no process can be started,
  // Error(cannot_write) for the log.
  ArmProcess(const std::vector<std::string>& arguments, const std::string& gpus, std::string log);
  // One that still runs is asked to stop and waited for: it writes its checkpoint and ends its own processes.
  ~ArmProcess();
  ArmProcess(const ArmProcess&) = delete;

  bool has_ended();
  void ask_to_stop();
  ProcessEnd end() const;                              // of one that has ended
  double cpu_seconds() const { return cpu_seconds_; }  // of one that has ended, with all that it started and waited for

 private:
  void note(int status, const rusage& used);

  std::string log_;
  pid_t pid_ = -1;
  bool ended_ = false, asked_ = false;
  int code_ = 0;
  double cpu_seconds_ = 0;
};

}  // namespace interlock
