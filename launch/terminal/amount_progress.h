#pragma once
// What a person sees while a long piece of work goes on that is measured by an amount, such as bytes: on a terminal a
// bar, in a file plain lines now and then. Writes to stderr.

#include <chrono>
#include <cstdint>
#include <string>

namespace interlock {

class AmountProgress {
 public:
  // `bytes`: the amount is shown as MB. Plain lines come at most every `seconds_between`.
  AmountProgress(std::string label, int64_t total, bool bytes, double seconds_between = 10.0);
  ~AmountProgress() { finish(); }
  AmountProgress(const AmountProgress&) = delete;
  void show(int64_t done);
  void finish();  // ends the bar's line

 private:
  using Clock = std::chrono::steady_clock;
  std::string line(int64_t done, int width) const;
  std::string amount(int64_t value) const;

  std::string label_;
  int64_t total_;
  bool bytes_, terminal_, drawn_ = false;
  double seconds_between_;
  Clock::time_point start_, last_;
};

}  // namespace interlock
