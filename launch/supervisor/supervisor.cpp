// Watches one mpirun: its stderr, our signals, and the deadlines by which a run that has failed must be over.
#include "launch/supervisor/supervisor.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <regex>
#include <utility>

#include "launch/folders/resume_command.h"
#include "launch/monitor/hang_watch.h"
#include "launch/monitor/verdict_file.h"
#include "launch/supervisor/child_tree.h"
#include "launch/supervisor/handshake.h"
#include "launch/supervisor/heartbeats.h"
#include "launch/supervisor/launcher_output.h"
#include "launch/supervisor/mpirun_command.h"
#include "launch/supervisor/poll_timeout.h"
#include "launch/supervisor/signal_source.h"
#include "runtime/core/lost.h"
#include "runtime/observe/stack_dump.h"

namespace interlock {
namespace {

using Clock = std::chrono::steady_clock;
// mpirun itself needs 1 to 2 s to end its ranks; after this it is not trusted any more.
constexpr auto patience = std::chrono::seconds(5);
// How often we look whether all ranks are ready to be asked.
constexpr auto elsewhere = std::chrono::seconds(15);
constexpr auto look_again = std::chrono::milliseconds(50);

void write_error(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(STDERR_FILENO, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // nobody reads; the exit code still tells
    text.remove_prefix(static_cast<size_t>(written));
  }
}

// The operator of a machine knows best how long it waits; the config comes second.
std::chrono::seconds stop_time(const SupervisorRequest& request) {
  const char* name = "INTERLOCK_STOP_SECONDS";
  const char* text = std::getenv(name);
  if (!text || !*text) return std::chrono::seconds(request.stop_seconds);
  int seconds = 0;
  const auto [end, problem] = std::from_chars(text, text + std::strlen(text), seconds);
  if (problem != std::errc() || *end || seconds < 1)
    throw Error(ExitCode::config, message(name, "=", text, " in the environment is no number of seconds from 1 up"));
  return std::chrono::seconds(seconds);
}

class Supervision {
 public:
  explicit Supervision(const SupervisorRequest& request)
      : ranks_(request.processes),
        run_folder_(request.monitor ? request.monitor->run_folder : ""),
        program_(request.executable),
        last_checkpoint_(request.last_checkpoint),
        stop_time_(stop_time(request)),
        watch_(request.monitor ? std::make_optional<HangWatch>(request.monitor->run_folder, request.processes,
                                                               request.monitor->limits)
                               : std::nullopt),
        heartbeats_(request.monitor ? Heartbeats(request.monitor->listen, request.processes) : Heartbeats()),
        tree_(mpirun_command(request, launch_word_), heartbeats_.invitation(), message(supervised_variable, "=1")) {}
  SupervisedEnd run();

 private:
  void look_for_hangs();
  void wait_for_news();
  void take_signals();
  void take_stop_request(int number);
  void pass_on_stop_request();
  void keep_deadlines();
  void end_at_once();
  void take_output();
  void drain();
  bool started_nothing() const;
  int exit_code() const;
  bool ended_with_us() const;
  bool lost_without_a_word() const;
  std::string ended_with_us_text() const;
  std::string verdict_text() const;
  std::string how_to_go_on() const;
  void say_why(int code);
  SupervisedEnd told(int code) const;

  const int ranks_;
  const std::string run_folder_;
  const std::string program_;
  const std::function<std::string()> last_checkpoint_;
  const std::chrono::seconds stop_time_;
  SignalSource signals_{SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGCHLD};  // before the child: its end must not be missed
  std::optional<HangWatch> watch_;  // before the child too: what stands in the run folder now is not of this run
  std::optional<Verdict> verdict_;
  std::string verdict_file_;
  bool dumps_asked_ = false;
  Heartbeats
      heartbeats_;  // before the child, which is told where they go; behind signals_, whose mask its thread takes
  Clock::time_point next_look_ = Clock::now();
  const std::string launch_word_ = new_launch_word();
  ChildTree tree_;
  LauncherOutput output_{write_error, launch_word_};
  bool output_open_ = true;
  int ended_by_ = 0;             // the signal that ended us at once
  int stop_asked_by_ = 0;        // the signal that asked for a stop
  bool got_sigterm_ = false;     // first, or behind another
  bool stop_passed_on_ = false;  // the ranks know of it
  bool asked_again_ = false, overdue_ = false;
  Clock::time_point stop_asked_at_;
  std::optional<Clock::time_point> stop_deadline_, deadline_;
};

SupervisedEnd Supervision::run() {
  while (!tree_.has_ended()) {
    wait_for_news();
    take_signals();
    take_output();
    pass_on_stop_request();
    look_for_hangs();
    keep_deadlines();
  }
  tree_.kill_all();  // ranks that mpirun left behind
  if (watch_) watch_->catch_up();
  drain();
  output_.finish();
  const int code = exit_code();
  say_why(code);
  return told(code);
}

void Supervision::wait_for_news() {
  pollfd watched[] = {{signals_.descriptor(), POLLIN, 0}, {output_open_ ? tree_.error_output() : -1, POLLIN, 0}};
  std::optional<Clock::time_point> next = deadline_;
  const auto earlier = [&](Clock::time_point time) { next = next ? std::min(*next, time) : time; };
  if (stop_deadline_) earlier(*stop_deadline_);
  if (watch_ && !verdict_ && !deadline_) earlier(next_look_);
  if (stop_asked_by_ != 0 && !stop_passed_on_) earlier(Clock::now() + look_again);
  poll(watched, 2, next ? poll_timeout(*next - Clock::now()) : -1);
}

void Supervision::take_signals() {
  for (int number; (number = signals_.next()) != 0;) {
    if (number == SIGCHLD) continue;
    if (ended_by_ != 0) {
      end_at_once();  // asked twice
    } else if (number == SIGTERM || number == SIGUSR1 || (number == SIGINT && stop_asked_by_ == 0)) {
      take_stop_request(number);
    } else {
      ended_by_ = number;
      tree_.signal(SIGTERM);  // mpirun ends its ranks, kindly for a second
      deadline_ = Clock::now() + patience;
    }
  }
}

void Supervision::take_stop_request(int number) {
  got_sigterm_ |= number == SIGTERM;
  if (stop_asked_by_ == 0) {
    stop_asked_by_ = number;
    stop_asked_at_ = Clock::now();
    stop_deadline_ = stop_asked_at_ + stop_time_;
    output_.insert(message("interlock: stopping: asked by ", signal_name(number),
                           "; the ranks finish a step, write a checkpoint and end (at most ", stop_time_.count(),
                           number == SIGINT ? " s); Ctrl-C again ends them at once\n" : " s)\n"));
  } else if (!asked_again_) {
    asked_again_ = true;
    output_.insert(message("interlock: ", signal_name(number), number == stop_asked_by_ ? " again" : "",
                           ": the ranks are stopping already; SIGINT (Ctrl-C) ends them at once\n"));
  }
}

// A rank that does not watch yet would die of it, and so would mpirun before it has started them. Ranks on other hosts
// cannot be looked at: they are given the time in which those that are here have long begun to watch.
void Supervision::pass_on_stop_request() {
  if (stop_asked_by_ == 0 || stop_passed_on_) return;
  const ChildTree::Running here = tree_.running(program_, SIGUSR1);
  const bool others_had_time = Clock::now() >= stop_asked_at_ + std::min<Clock::duration>(elsewhere, stop_time_ / 4);
  // Ranks elsewhere are not seen here, but once all have met they watch for it.
  const bool all_watch = here.processes >= ranks_ || output_.ranks_are_up();
  if (here.watching < here.processes || (!all_watch && !others_had_time)) return;
  tree_.signal(SIGUSR1);  // mpirun forwards it and waits for as long as it takes
  stop_passed_on_ = true;
}

// A run that is about to end is not judged any more.
void Supervision::look_for_hangs() {
  if (!watch_ || verdict_ || deadline_ || Clock::now() < next_look_) return;
  watch_->hear(heartbeats_.records());
  verdict_ = watch_->look();
  next_look_ = Clock::now() + HangWatch::between_looks;
  if (const std::string warning = heartbeats_.warning(); !warning.empty()) output_.insert(warning);
  const bool dumps_asked = std::exchange(dumps_asked_, verdict_.has_value());
  if (!verdict_) return;
  if (!dumps_asked) {  // what the ranks know themselves is here at the next look
    heartbeats_.ask_for_dumps();
    forget_stacks(run_folder_);
    tree_.signal(SIGUSR2);  // mpirun hands it on
    return verdict_.reset();
  }
  verdict_file_ = write_verdict(run_folder_, *verdict_, watch_->ranks());
  heartbeats_.say_stop();
  tree_.kill_running(program_);  // mpirun would wake those that are stopped first, and the run would go on
  tree_.signal(SIGTERM);         // to mpirun, for the ranks elsewhere
  deadline_ = Clock::now() + patience;
}

void Supervision::keep_deadlines() {
  const auto now = Clock::now();
  if (output_.failed() && !deadline_) deadline_ = now + patience;
  if (stop_deadline_ && now >= *stop_deadline_) {
    overdue_ = ended_by_ == 0;
    stop_deadline_.reset();
    end_at_once();
  }
  if (deadline_ && now >= *deadline_) end_at_once();
}

void Supervision::end_at_once() {
  tree_.kill_all();
  deadline_ = Clock::now() + patience;  // then once more
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
  if (overdue_) return static_cast<int>(ExitCode::gave_up);
  if (verdict_ || ended_with_us()) return static_cast<int>(lost_rank);
  const int status = tree_.status();
  // An mpirun that is gone took its ranks along; where one had said why, we have ended it.
  const ExitCode without_mpirun = output_.rank_said_why() ? ExitCode::gave_up : lost_rank;
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : static_cast<int>(without_mpirun);
  if (output_.killed_by_signal() || lost_without_a_word()) return static_cast<int>(lost_rank);
  if (code == static_cast<int>(ExitCode::stopped) && stop_asked_by_ == SIGINT) return 128 + SIGINT;
  if (started_nothing()) return static_cast<int>(ExitCode::config);
  for (const ExitCode ours : {ExitCode::done, ExitCode::usage, ExitCode::config, ExitCode::bad_input, ExitCode::gave_up,
                              lost_rank, ExitCode::cannot_write, ExitCode::stopped}) {
    if (code == static_cast<int>(ours)) return code;
  }
  return static_cast<int>(ExitCode::gave_up);
}

// A rank that is killed while mpirun still starts it: there is no banner, only the shell's code of a signal.
bool Supervision::lost_without_a_word() const {
  const int status = tree_.status();
  const int number = WIFEXITED(status) ? WEXITSTATUS(status) - 128 : 0;  // 255 is mpirun's own code of a failed start
  return number > 0 && number <= SIGRTMAX && number != SIGINT && !output_.rank_said_why() && output_.reason().empty();
}

// A run that ended well, and of which no rank was seen: neither said so nor took the run folder.
bool Supervision::started_nothing() const {
  const int status = tree_.status();
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 && !output_.ranks_are_up() && !(watch_ && watch_->has_begun());
}

// A batch system that ends a job signals all of its processes: mpirun, which then ends its ranks, as well as us.
bool Supervision::ended_with_us() const {
  if (!got_sigterm_ || overdue_ || ended_by_ != 0 || output_.rank_said_why()) return false;
  const int status = tree_.status();
  const bool mpirun_gave_up = WIFSIGNALED(status) ? WTERMSIG(status) == SIGTERM : WEXITSTATUS(status) == 1;
  return output_.killed_by_signal() ? output_.reason().find("(SIGTERM)") != std::string::npos
                                    : mpirun_gave_up && output_.reason().empty();
}

std::string Supervision::ended_with_us_text() const {
  const std::string checkpoint = last_checkpoint_ ? last_checkpoint_() : "";
  return message(
      "interlock: error: mpirun and its ranks got the SIGTERM too, as all processes of a batch job do when it ends, "
      "and "
      "could write no checkpoint; ",
      checkpoint.empty() ? "there is none to go on from"
                         : "--resume goes on from " + checkpoint + (run_folder_.empty() ? "" : how_to_go_on()),
      ". To be asked in time: sbatch --signal=B:USR1@120 (launch/cluster/mpirun.sbatch)\n");
}

std::string Supervision::verdict_text() const {
  const std::string checkpoint = last_checkpoint_ ? last_checkpoint_() : "";
  const std::string stack = verdict_->rank < 0 ? "" : read_stack(run_folder_, verdict_->rank);
  return message(
      "interlock: error: ", verdict_->reason, "\n", verdict_->ranks,
      stack.empty() ? "" : message("  rank ", verdict_->rank, " stands in:\n", stack),
      verdict_file_.empty() ? "" : message("  All that the ranks told: ", verdict_file_, "\n"), "  The run was ended; ",
      checkpoint.empty() ? "there is no checkpoint yet to go on from"
                         : "--resume goes on from " + checkpoint + (run_folder_.empty() ? "" : how_to_go_on()),
      "\n");
}

// The whole command, where the folder of the run is known.
std::string Supervision::how_to_go_on() const {
  return run_folder_.empty() ? "; --resume goes on from the last checkpoint"
                             : "; go on with: " + resume_command(run_folder_);
}

// Whose end it was, for those who write it down.
SupervisedEnd Supervision::told(int code) const {
  SupervisedEnd end{.code = code, .asked = ended_by_ != 0 || stop_asked_by_ != 0};
  if (watch_) {
    end.step = watch_->last_step();
    end.begun = watch_->has_begun();
  }
  if (verdict_) {
    end.hung = true;
    end.step = verdict_->step;
    end.reason = verdict_->reason;
    if (verdict_->rank >= 0) end.rank = verdict_->rank;
    return end;
  }
  if (ended_by_ != 0) {
    end.reason = "stopped by " + signal_name(ended_by_);
  } else if (stop_asked_by_ != 0) {
    end.reason = "asked to stop by " + signal_name(stop_asked_by_);
  } else if (code != 0) {
    const std::string said = output_.reason(), prefix = "interlock: error: ";
    end.reason = said.empty() && lost_without_a_word() ? "a rank was ended by a signal before it could say anything"
                 : said.empty()                        ? "mpirun ended"
                                                       : said.substr(said.starts_with(prefix) ? prefix.size() : 0);
    end.reason = end.reason.substr(0, end.reason.find('\n'));
    std::smatch found;
    if (std::regex_search(end.reason, found, std::regex("^rank (\\d{1,9})\\b"))) end.rank = std::stoll(found[1]);
  }
  return end;
}

void Supervision::say_why(int code) {
  const bool rank_said_why = output_.rank_said_why();
  // A banner would only tell of our own signal, or of the exit code of a stop.
  std::string text = rank_said_why ? output_.reason() + "\n" : "";
  if (ended_by_ != 0) {
    text += message("interlock: stopped by ", signal_name(ended_by_), "; no rank is left running",
                    last_checkpoint_ && !last_checkpoint_().empty() ? how_to_go_on() : "", "\n");
  } else if (verdict_ && !overdue_) {
    text = verdict_text();
  } else if (ended_with_us()) {
    text += ended_with_us_text();
  } else if (overdue_) {
    text += message("interlock: error: the ranks were not done ", stop_time_.count(), " s after ",
                    signal_name(stop_asked_by_),
                    " asked them to stop, so they were ended; the last whole checkpoint is what --resume goes on from",
                    run_folder_.empty() ? "" : how_to_go_on(), "\n");
  } else if ((code == static_cast<int>(ExitCode::stopped) || code == 128 + SIGINT) && !rank_said_why) {
    text += message("interlock: stopped on request",
                    stop_asked_by_ != 0 ? message(" (", signal_name(stop_asked_by_), ")") : "", how_to_go_on(), "\n");
  } else if (!rank_said_why && !output_.reason().empty()) {
    text += output_.reason() + "\n";
  } else if (!rank_said_why && started_nothing()) {
    text += message("interlock: error: mpirun (", find_program("mpirun"), ") ended with exit code 0, but none of the ",
                    ranks_,
                    " ranks came up, so nothing was done: it is no mpirun of Open MPI, or one that starts nothing; ",
                    open_mpi_first, "\n");
  } else if (lost_without_a_word()) {
    text += message("interlock: error: a rank was ended by ", signal_name(WEXITSTATUS(tree_.status()) - 128),
                    " before it could say anything\n");
  } else if (!rank_said_why && code != 0) {
    text += output_.remarks();
    text += message("interlock: error: mpirun ended with ",
                    WIFEXITED(tree_.status()) ? message("exit code ", WEXITSTATUS(tree_.status()))
                                              : message("signal ", WTERMSIG(tree_.status())),
                    " and no rank said why; `interlock doctor` checks whether ranks can be started here\n");
  }
  if (!text.empty()) output_.insert(text);
}

}  // namespace

SupervisedEnd supervise_once(const SupervisorRequest& request) { return Supervision(request).run(); }

}  // namespace interlock
