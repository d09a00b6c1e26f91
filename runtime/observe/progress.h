#pragma once
// What a person sees while a run goes on: on a terminal one status line that is redrawn, in a file plain lines now and
// then.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "runtime/observe/metrics.h"

namespace interlock {

class Progress {
 public:
  // Writes to stderr. `label` opens the line, `total` is the last step. Plain lines come for the first and last step,
  // for evaluations, and at most one every `seconds_between` otherwise.
  Progress(std::string label, int64_t total, double seconds_between = 10.0);
  ~Progress() { finish(); }  // a message that follows starts on a line of its own
  void show(const StepMetrics& metrics);
  void finish();  // ends the status line

 private:
  std::optional<double> seconds_left(int64_t step) const;

  std::string label_;
  int64_t total_, first_ = 0;  // first_: the first step shown, 0 before it
  double seconds_between_;
  bool terminal_, drawn_ = false;
  std::optional<double> validation_loss_;  // the latest, so that the status line goes on showing it
  std::chrono::steady_clock::time_point start_, last_line_;
};

// A person is watching stderr: it is a terminal, or the launcher that started this process says so with
// INTERLOCK_TERMINAL=1 (a rank under mpirun writes into a pipe even when a person reads the other end).
bool watched_by_person();
// COLUMNS, else what the terminal on stderr answers, else 80.
int terminal_width();
// One line with step, loss, held-out loss, tokens/s, idle share and time left, the least needed parts left out until it
// fits `width` columns (0: no limit).
std::string progress_line(const std::string& label, const StepMetrics& metrics, int64_t total,
                          std::optional<double> seconds_left, int width);

}  // namespace interlock
