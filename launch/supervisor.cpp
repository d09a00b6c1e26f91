// Watches one mpirun: its stderr, our signals, and the deadlines by which a run that has failed must be over.
#include "launch/supervisor.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <optional>

#include "launch/child_tree.h"
#include "launch/launcher_output.h"
#include "launch/mpirun_command.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

using Clock = std::chrono::steady_clock;
// mpirun itself needs 1 to 2 s to end its ranks; after this it is not trusted any more.
constexpr auto patience = std::chrono::seconds(5);

void write_error(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(STDERR_FILENO, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // nobody reads; the exit code still tells
    text.remove_prefix(static_cast<size_t>(written));
  }
}

// Delivers the signals we care about through a file descriptor while it lives.
class Signals {
 public:
  Signals() {
    sigset_t watched;
    sigemptyset(&watched);
    for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) sigaddset(&watched, number);
    sigprocmask(SIG_BLOCK, &watched, &before_);
    descriptor_ = signalfd(-1, &watched, SFD_NONBLOCK | SFD_CLOEXEC);
  }
  ~Signals() {
    close(descriptor_);
    sigprocmask(SIG_SETMASK, &before_, nullptr);
  }
  Signals(const Signals&) = delete;
  int descriptor() const { return descriptor_; }
  // The next signal that came, or 0.
  int next() const {
    signalfd_siginfo info{};
    return read(descriptor_, &info, sizeof info) == sizeof info ? static_cast<int>(info.ssi_signo) : 0;
  }

 private:
  sigset_t before_{};
  int descriptor_ = -1;
};

class Supervision {
 public:
  explicit Supervision(const SupervisorRequest& request) : tree_(mpirun_command(request)) {}
  int run();

 private:
  void wait_for_news();
  void take_signals();
  void take_output();
  void drain();
  int exit_code() const;
  void say_why(int code) const;

  Signals signals_;  // before the child: its end must not be missed
  ChildTree tree_;
  LauncherOutput output_{write_error};
  bool output_open_ = true;
  int ended_by_ = 0;  // the signal that ended us
  std::optional<Clock::time_point> deadline_;
};

int Supervision::run() {
  while (!tree_.has_ended()) {
    wait_for_news();
    take_signals();
    take_output();
    if (output_.failed() && !deadline_) deadline_ = Clock::now() + patience;
    if (deadline_ && Clock::now() >= *deadline_) {
      tree_.kill_all();
      deadline_ = Clock::now() + patience;
    }
  }
  tree_.kill_all();  // ranks that mpirun left behind
  drain();
  output_.finish();
  const int code = exit_code();
  say_why(code);
  return code;
}

void Supervision::wait_for_news() {
  pollfd watched[] = {{signals_.descriptor(), POLLIN, 0}, {output_open_ ? tree_.error_output() : -1, POLLIN, 0}};
  int timeout = -1;
  if (deadline_) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(*deadline_ - Clock::now()).count();
    timeout = static_cast<int>(std::max<int64_t>(left, 0)) + 1;
  }
  poll(watched, 2, timeout);
}

void Supervision::take_signals() {
  for (int number; (number = signals_.next()) != 0;) {
    if (number == SIGCHLD) continue;
    if (ended_by_ != 0) {
      tree_.kill_all();  // asked twice: at once
      continue;
    }
    ended_by_ = number;
    tree_.signal(SIGTERM);  // mpirun ends its ranks, kindly for a second
    deadline_ = Clock::now() + patience;
  }
}

void Supervision::take_output() {
  char part[1 << 16];
  while (output_open_) {
    const ssize_t count = read(tree_.error_output(), part, sizeof part);
    if (count > 0) {
      output_.feed({part, static_cast<size_t>(count)});
    } else if (count == 0) {
      output_open_ = false;
    } else if (errno != EINTR) {
      return;
    }
  }
}

// Everybody who could write is dead or about to be; a second is plenty.
void Supervision::drain() {
  const auto end = Clock::now() + std::chrono::seconds(1);
  while (output_open_ && Clock::now() < end) {
    pollfd watched{tree_.error_output(), POLLIN, 0};
    poll(&watched, 1, 50);
    take_output();
  }
}

int Supervision::exit_code() const {
  if (ended_by_ != 0) return 128 + ended_by_;
  const int status = tree_.status();
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : static_cast<int>(ExitCode::gave_up);
  if (output_.killed_by_signal()) return static_cast<int>(ExitCode::gave_up);
  for (const ExitCode ours : {ExitCode::done, ExitCode::usage, ExitCode::config, ExitCode::bad_input, ExitCode::gave_up,
                              ExitCode::cannot_write, ExitCode::stopped}) {
    if (code == static_cast<int>(ours)) return code;
  }
  return static_cast<int>(ExitCode::gave_up);
}

void Supervision::say_why(int code) const {
  std::string text;
  if (ended_by_ != 0) {
    if (output_.rank_said_why()) text += output_.reason() + "\n";  // a banner would only tell of our own signal
    text += message("interlock: stopped by SIG", sigabbrev_np(ended_by_), "; no rank is left running\n");
  } else if (!output_.reason().empty()) {
    text += output_.reason() + "\n";
  } else if (code != 0) {
    text += output_.remarks();
    text += message("interlock: error: mpirun ended with ",
                    WIFEXITED(tree_.status()) ? message("exit code ", WEXITSTATUS(tree_.status()))
                                              : message("signal ", WTERMSIG(tree_.status())),
                    " and no rank said why; `interlock doctor` checks whether ranks can be started here\n");
  }
  if (text.empty()) return;
  if (output_.inside_line()) write_error("\n");
  write_error(text);
}

}  // namespace

int supervise(const SupervisorRequest& request) { return Supervision(request).run(); }

}  // namespace interlock
