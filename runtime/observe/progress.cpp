// Owns the look of a run's progress. Time left is the mean time per step since the first step shown, which leaves
// start-up out.
#include "runtime/observe/progress.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "runtime/core/status_line.h"

namespace interlock {
namespace {

using Clock = std::chrono::steady_clock;
double seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

template <class... Values>
std::string print(const char* format, Values... values) {
  char text[64];
  std::snprintf(text, sizeof text, format, values...);
  return text;
}

// A diverging loss has no end of digits before the point.
std::string loss_text(const char* name, double loss) {
  return name + print(std::abs(loss) < 1e4 ? " %.4f" : " %.4g", loss);
}

std::string rate_text(double rate, const std::string& unit) {
  const std::string number = rate >= 1e6   ? print("%.2fM", rate / 1e6)
                             : rate >= 1e4 ? print("%.1fk", rate / 1e3)
                                           : print("%.0f", rate);
  return number + " " + unit + "/s";
}

std::string time_text(double left) {
  const long long whole = std::llround(std::clamp(left, 0.0, 1e9));
  if (whole >= 3600) return print("%lld:%02lld:%02lld left", whole / 3600, whole / 60 % 60, whole % 60);
  return print("%lld:%02lld left", whole / 60, whole % 60);
}

struct Part {
  std::string text;
  int need;  // parts with the smallest need go first when the line is too long
};

std::string joined(const std::vector<Part>& parts) {
  std::string line;
  for (const Part& part : parts) line += (line.empty() ? "" : "  ") + part.text;
  return line;
}

void put(const std::string& text) {
  // A progress line that cannot be written is no reason to stop a run.
  std::fputs(text.c_str(), stderr);
  std::fflush(stderr);
}

}  // namespace

bool watched_by_person() {
  if (const char* told = std::getenv("INTERLOCK_TERMINAL"); told != nullptr && std::strcmp(told, "1") == 0) return true;
  const char* kind = std::getenv("TERM");
  return ::isatty(2) == 1 && kind != nullptr && *kind != '\0' && std::strcmp(kind, "dumb") != 0;
}

int terminal_width() {
  winsize size{};
  if (::ioctl(2, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  // A rank writes into a pipe, and belongs to the terminal all the same: mpirun leaves it in the session.
  static const int own =
      std::getenv("INTERLOCK_SUPERVISED") != nullptr ? ::open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC) : -1;
  if (own >= 0 && ::ioctl(own, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  if (const char* columns = std::getenv("COLUMNS"); columns != nullptr) {
    const long asked = std::strtol(columns, nullptr, 10);
    if (asked > 0 && asked < 10'000) return static_cast<int>(asked);
  }
  return 80;
}

// Spaces up to the old width would wrap in a window that is narrower by now; "erase to the end of line" does not.
std::string redrawn(const std::string& line) { return "\r" + line + "\x1b[K"; }

std::string progress_line(const std::string& label, const StepMetrics& metrics, int64_t total,
                          std::optional<double> seconds_left, int width, const std::string& unit) {
  std::vector<Part> parts;
  if (!label.empty()) parts.push_back({label, 0});
  parts.push_back({"step " + std::to_string(metrics.step) + "/" + std::to_string(total), 6});
  parts.push_back({loss_text("loss", metrics.loss), 5});
  if (metrics.validation_loss) parts.push_back({loss_text("held-out", *metrics.validation_loss), 4});
  if (const auto accuracy = metrics.validation_scores.find("accuracy"); accuracy != metrics.validation_scores.end())
    parts.push_back({print("accuracy %.3f", accuracy->second), 4});
  parts.push_back({rate_text(metrics.tokens_per_second, unit), 2});
  parts.push_back({print("idle %.0f %%", 100 * metrics.idle_share), 1});
  if (seconds_left) parts.push_back({time_text(*seconds_left), 3});
  if (width <= 0) return joined(parts);
  const auto room = static_cast<size_t>(width);
  while (parts.size() > 1 && joined(parts).size() > room) {
    parts.erase(std::min_element(parts.begin(), parts.end(),
                                 [](const Part& one, const Part& other) { return one.need < other.need; }));
  }
  return joined(parts).substr(0, room);
}

Progress::Progress(std::string label, int64_t total, double seconds_between, std::string unit)
    : label_(std::move(label)),
      unit_(std::move(unit)),
      total_(total),
      seconds_between_(seconds_between),
      terminal_(watched_by_person()),
      start_(Clock::now()),
      last_line_(start_) {
  if (terminal_) wipe_before_log([this] { wipe(); });
}

Progress::~Progress() {
  if (terminal_) wipe_before_log({});
  finish();
}

void Progress::draw(const std::string& line, bool stays) {
  const std::lock_guard lock(drawing_);
  put(redrawn(line) + (stays ? "\n" : ""));
  drawn_ = !stays;
}

void Progress::wipe() {
  const std::lock_guard lock(drawing_);
  if (drawn_) put(redrawn(""));
  drawn_ = false;
}

std::optional<double> Progress::seconds_left(int64_t step) const {
  if (step <= first_) return std::nullopt;
  return seconds(Clock::now() - start_) / static_cast<double>(step - first_) * static_cast<double>(total_ - step);
}

void Progress::show(const StepMetrics& metrics) {
  const auto now = Clock::now();
  const bool first = first_ == 0;
  if (first) {
    first_ = metrics.step;
    start_ = now;
  }
  if (metrics.validation_loss) {
    validation_loss_ = metrics.validation_loss;
    validation_scores_ = metrics.validation_scores;
  }
  if (terminal_) {
    StepMetrics shown = metrics;
    shown.validation_loss = validation_loss_;
    shown.validation_scores = validation_scores_;
    // The last column stays free: some terminals wrap as soon as it is filled.
    const int room = std::max(terminal_width() - 1, 1);
    draw(progress_line(label_, shown, total_, seconds_left(metrics.step), room, unit_),
         metrics.validation_loss.has_value());
    return;
  }
  const bool due = seconds(now - last_line_) >= seconds_between_;
  if (!first && !due && metrics.step != total_ && !metrics.validation_loss) return;
  put(progress_line(label_, metrics, total_, seconds_left(metrics.step), 0, unit_) + "\n");
  last_line_ = now;
}

void Progress::finish() {
  const std::lock_guard lock(drawing_);
  if (drawn_) put("\n");
  drawn_ = false;
}

}  // namespace interlock
