// A bar for people, lines for files.

#include "launch/terminal/amount_progress.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "runtime/core/error.h"
#include "runtime/observe/progress.h"

namespace interlock {
namespace {

constexpr double seconds_between_draws = 0.1;

double seconds(std::chrono::steady_clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

void put(const std::string& text) {
  std::fputs(text.c_str(), stderr);
  std::fflush(stderr);
}

}  // namespace

AmountProgress::AmountProgress(std::string label, int64_t total, bool bytes, double seconds_between)
    : label_(std::move(label)),
      total_(total),
      bytes_(bytes),
      terminal_(watched_by_person()),
      seconds_between_(seconds_between),
      start_(Clock::now()),
      last_(start_) {}

std::string AmountProgress::amount(int64_t value) const {
  if (!bytes_) return std::to_string(value);
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", static_cast<double>(value) / 1e6);
  return text;
}

std::string AmountProgress::line(int64_t done, int width) const {
  const double share = total_ > 0 ? std::clamp(static_cast<double>(done) / static_cast<double>(total_), 0.0, 1.0) : 1;
  const double passed = seconds(Clock::now() - start_);
  std::string words =
      message(std::llround(100 * share), " %  ", amount(done), "/", amount(total_), bytes_ ? " MB" : "");
  if (share > 0 && share < 1) {
    const long long left = std::llround(passed / share * (1 - share));
    words += message("  ", left / 60, left % 60 < 10 ? ":0" : ":", left % 60, " left");
  }
  const std::string plain = label_ + "  " + words;
  constexpr int least_bar = 10, most_bar = 40;
  const int room = std::min(width - static_cast<int>(plain.size()) - 4, most_bar);
  if (room < least_bar) return width > 0 ? plain.substr(0, static_cast<size_t>(width)) : plain;
  const auto full = static_cast<size_t>(share * room);
  return label_ + "  [" + std::string(full, '#') + std::string(static_cast<size_t>(room) - full, '.') + "]  " + words;
}

void AmountProgress::show(int64_t done) {
  const auto now = Clock::now();
  const double since = seconds(now - last_);
  if (terminal_) {
    if (drawn_ && done < total_ && since < seconds_between_draws) return;
    // The last column stays free, as some terminals wrap when it is filled.
    put(redrawn(line(done, std::max(terminal_width() - 1, 1))));
    drawn_ = true;
    last_ = now;
  } else if (since >= seconds_between_) {
    put(line(done, 0) + "\n");
    last_ = now;
  }
}

void AmountProgress::finish() {
  if (drawn_) put("\n");
  drawn_ = false;
}

}  // namespace interlock
