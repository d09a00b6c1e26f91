#pragma once
// What `interlock train` is when nobody launched it: the parent of one mpirun that runs this same program as ranks. It
// passes their output through, says once and last why a run failed, and leaves no process behind. No torch, no MPI in
// it.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "launch/monitor/verdict.h"
#include "runtime/core/listen_address.h"

namespace interlock {

struct SupervisorRequest {
  std::string executable;              // as an absolute path
  std::vector<std::string> arguments;  // without the program's name
  int processes = 1;
  int threads_per_rank = 1;
  // How long ranks that are asked to stop may take to finish their step, write a checkpoint and end.
  // INTERLOCK_STOP_SECONDS in the environment goes before it.
  int stop_seconds = 60;
  // Where --resume would go on from, or "": said when a batch system has ended the ranks before they could write one.
  std::function<std::string()> last_checkpoint = {};
  // The run folder in which the ranks tell what they do, and how long they may do nothing. None: a hang is not noticed.
  struct Monitor {
    std::string run_folder;
    HangLimits limits;
    std::optional<ListenAddress> listen = {};  // for heartbeats over TCP; nobody who cannot listen keeps a run back
  };
  std::optional<Monitor> monitor = {};
};

// How a supervised run ended.
struct SupervisedEnd {
  int code = 0;
  std::string reason = {};           // one line; "" of a run that ended well
  std::optional<int64_t> rank = {};  // that it is about
  int64_t step = 0;                  // the furthest that any rank had begun; 0 where nobody watched
  bool hung = false;                 // ended by a verdict
  bool asked = false;                // somebody wanted it to end
  bool begun = false;                // the run folder is this run's own
};

// Runs it to the end and returns the exit code: that of the rank that failed when it is one of ours (error.h), 71 when
// a signal ended a rank, a node or mpirun, or when the ranks hang and were ended, 70 for any other end of a rank, 129
// when SIGHUP ended us. SIGTERM, SIGUSR1 and a first SIGINT (Ctrl-C) are a request to stop: the ranks get SIGUSR1
// (stop_request.h), once all of them watch for it, and their exit code, 75, comes back, after SIGINT 130; 70 when they
// are not done in time and were ended. Asked again, it stays at that, but SIGINT then ends them at once, with 130.
// Error(config) when there is no mpirun.
// Ranks find INTERLOCK_SUPERVISED=1 in their environment; INTERLOCK_TERMINAL=1 and COLUMNS when our stderr is a
// terminal. 64 when mpirun ends with 0 and no rank has come up.
SupervisedEnd supervise_once(const SupervisorRequest& request);
inline int supervise(const SupervisorRequest& request) { return supervise_once(request).code; }

}  // namespace interlock
