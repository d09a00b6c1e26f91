#include "launch/supervisor/restart.h"

#include <poll.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "launch/folders/resume_command.h"
#include "launch/monitor/event_log.h"
#include "launch/supervisor/shared_segments.h"
#include "launch/supervisor/signal_source.h"
#include "launch/supervisor/stop_request.h"
#include "runtime/core/lost.h"
#include "runtime/observe/trace_part.h"

namespace interlock {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int64_t longest_pause = 60;  // seconds

void say(const std::string& line) {
  std::fputs(("interlock: " + line + "\n").c_str(), stderr);
  std::fflush(stderr);
}

const char* event_of(const SupervisedEnd& end) {
  if (end.hung) return "hung";
  if (end.asked) return "stopped";
  if (end.code == static_cast<int>(lost_rank)) return "lost";
  return end.code == 0 ? "ended" : "gave_up";
}

// What was refused leaves its folder as it is.
bool is_of_the_run(const SupervisedEnd& end) {
  for (const ExitCode code : {lost_rank, ExitCode::gave_up, ExitCode::stopped})
    if (end.code == static_cast<int>(code)) return true;
  return end.asked;
}

// Where a run stood when it was lost.
struct Place {
  int64_t checkpoint = 0, step = 0;
  bool is_beyond(const Place& other) const { return checkpoint > other.checkpoint || step > other.step; }
  bool operator==(const Place&) const = default;
};

class Restarts {
 public:
  Restarts(SupervisorRequest request, const RestartPolicy& policy)
      : request_(std::move(request)), policy_(policy), log_(request_.monitor ? request_.monitor->run_folder : "") {}

  int run() {
    int code = 0;
    do {
      const SupervisedEnd end = supervise_once(request_);
      code = judge(end);
    } while (again_);
    ignore_stop_requests();
    if (code != 0) keep_trace();
    if (started_ > 0) say("what happened to the run:\n" + log_.table());
    return code;
  }

 private:
  // Writes down how it ended, and decides whether it goes on; the exit code if not.
  int judge(const SupervisedEnd& end) {
    again_ = false;
    if (started_ > 0 || is_of_the_run(end)) log_.add({event_of(end), end.rank, end.step, end.reason});
    if (end.code != static_cast<int>(lost_rank) || end.asked || started_ >= policy_.restarts) return end.code;
    const Place here{policy_.newest_checkpoint(), end.step};
    const bool beyond = here.is_beyond(last_);
    if (started_ > 0 && here == last_) {
      const std::string why = message("twice at step ", end.step, " without progress: it would only happen again");
      log_.add({"gave_up", end.rank, end.step, why});
      say(message("error: gave up: ", why));
      return static_cast<int>(ExitCode::gave_up);
    }
    last_ = here;
    pause_ = started_ == 0 || beyond ? 1 : std::min(2 * pause_, longest_pause);
    if (const int code = rest(here); code >= 0) return code;
    if (end.begun) request_.arguments = policy_.arguments_again;
    again_ = true;
    return 0;
  }

  // Of a run that ended before it could write one.
  void keep_trace() const {
    try {
      if (request_.monitor) join_trace_parts(request_.monitor->run_folder);
    } catch (const Error& error) {
      say(message("the trace of the run is left in parts: ", error.what()));
    }
  }

  // Nothing runs meanwhile, so a signal ends us at once. -1: go on.
  int rest(const Place& here) {
    ++started_;
    const std::string from = here.checkpoint > 0 ? message("from the checkpoint of step ", here.checkpoint)
                                                 : std::string("from the beginning");
    const std::string what = message("start ", started_, " of ", policy_.restarts, " ", from);
    log_.add({"restart", std::nullopt, here.checkpoint, what});
    say(message("re", what, " in ", pause_, " s"));
    const auto end = Clock::now() + std::chrono::seconds(pause_);
    while (Clock::now() < end) {
      pollfd watched{signals_.descriptor(), POLLIN, 0};
      poll(&watched, 1, 100);
      const int number = signals_.next();
      if (number == 0) continue;
      log_.add({"stopped", std::nullopt, here.checkpoint, "stopped by " + signal_name(number) + " before a restart"});
      say(message("stopped by ", signal_name(number), " before a restart; no rank is running; --resume goes on ", from,
                  request_.monitor ? ": " + resume_command(request_.monitor->run_folder) : ""));
      const bool request = number == SIGTERM || number == SIGUSR1;
      return request ? static_cast<int>(ExitCode::stopped) : 128 + number;
    }
    return -1;
  }

  // All the while: a signal that comes between two runs waits until it is asked for.
  const SignalSource signals_{SIGINT, SIGTERM, SIGHUP, SIGUSR1};
  SupervisorRequest request_;
  const RestartPolicy& policy_;
  EventLog log_;
  bool again_ = false;
  int64_t started_ = 0, pause_ = 1;  // started again so many times; seconds
  Place last_;
};

}  // namespace

int supervise_with_restarts(SupervisorRequest request, const RestartPolicy& policy) {
  if (const int gone = remove_segments(abandoned_segments()); gone > 0)
    say(message("removed ", gone, " pieces of shared memory that killed runs had left in /dev/shm"));
  return Restarts(std::move(request), policy).run();
}

}  // namespace interlock
