#pragma once
// What a person sees while a run goes on: on a terminal one status line that is redrawn, below the lines of evaluations
// and of the log, which stay; in a file plain lines now and then.

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>

#include "runtime/observe/metrics.h"

namespace interlock {

class Progress {
 public:
  // Writes to stderr; one at a time. `label` opens the line, `total` is the last step. Plain lines come for the first
  // and last step, for evaluations, and at most one every `seconds_between` otherwise. `unit`: what a second has so
  // many of, tokens or samples.
  Progress(std::string label, int64_t total, double seconds_between = 10.0, std::string unit = "tokens");
  ~Progress();  // a message that follows starts on a line of its own
  Progress(const Progress&) = delete;
  void show(const StepMetrics& metrics);
  void finish();  // ends the status line

 private:
  std::optional<double> seconds_left(int64_t step) const;
  void draw(const std::string& line, bool stays);
  void wipe();

  std::mutex drawing_;  // log lines come from any thread
  std::string label_, unit_;
  int64_t total_, first_ = 0;  // first_: the first step shown, 0 before it
  double seconds_between_;
  bool terminal_, drawn_ = false;
  // The latest, so that the status line goes on showing them.
  std::optional<double> validation_loss_;
  std::map<std::string, double> validation_scores_;
  std::chrono::steady_clock::time_point start_, last_line_;
};

// A person is watching stderr, on a terminal that can redraw a line (TERM is neither "dumb" nor missing); or the
// launcher that started this process says so with INTERLOCK_TERMINAL=1 (a rank under mpirun writes into a pipe even
// when a person reads the other end).
bool watched_by_person();
// What the terminal on stderr answers now, as its window may have changed; of a rank that our launcher started the one
// that both belong to. Else COLUMNS, else 80.
int terminal_width();
// The line in the place of what stood on the terminal's last one, whatever its width was then.
std::string redrawn(const std::string& line);
// One line with step, loss, held-out loss, accuracy of classes, tokens/s, idle share and time left, the least needed
// parts left out until it fits `width` columns (0: no limit).
std::string progress_line(const std::string& label, const StepMetrics& metrics, int64_t total,
                          std::optional<double> seconds_left, int width, const std::string& unit = "tokens");

}  // namespace interlock
