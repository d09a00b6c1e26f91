#pragma once
// What a person sees while a run goes on: on a terminal one status line that is redrawn, in a file plain lines now and then.

#include <chrono>
#include <cstdint>
#include <string>

#include "runtime/observe/metrics.h"

namespace interlock {

class Progress {
 public:
  // Writes to stderr. `label` opens the line, `total` is the last step. Plain lines come for the first and last step, for
  // evaluations, and at most one every `seconds_between` otherwise.
  Progress(std::string label, int64_t total, double seconds_between = 10.0);
  void show(const StepMetrics& metrics);
  void finish();  // ends the status line

 private:
  std::string label_;
  int64_t total_, first_ = 0;
  double seconds_between_;
  bool terminal_, drawn_ = false;
  std::chrono::steady_clock::time_point start_, last_line_;
};

}  // namespace interlock
