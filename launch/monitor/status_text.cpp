// The status of a run as a table.
#include <cmath>
#include <cstdio>
#include <iterator>
#include <sstream>
#include <utility>

#include "launch/monitor/run_status.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

constexpr double slow = 2;  // times the median: worth a word

template <class... Values>
std::string print(const char* format, Values... values) {
  char text[160];
  std::snprintf(text, sizeof text, format, values...);
  return text;
}

// Of what is left at the right, a sign tells.
std::string fitted(const std::string& text, size_t width) {
  return text.size() <= width ? text : text.substr(0, width > 0 ? width - 1 : 0) + ">";
}

std::string time_text(double seconds) {
  if (seconds < 100) return print("%.1f s", seconds);
  const auto whole = static_cast<long long>(seconds);
  return whole < 3600 ? print("%lld:%02lld", whole / 60, whole % 60)
                      : print("%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60, whole % 60);
}

// As many on a line as fit, and "\n" behind each line.
std::string filled(const std::vector<std::string>& words, const std::string& between, size_t width) {
  std::string text, line;
  for (const std::string& word : words) {
    if (!line.empty() && line.size() + between.size() + word.size() > width)
      text += fitted(std::exchange(line, ""), width) + "\n";
    line += (line.empty() ? "" : between) + word;
  }
  return text + fitted(line, width) + "\n";
}

// One that diverges has hundreds of digits.
std::string loss_text(double loss) { return print(std::abs(loss) < 1e6 ? "%.4f" : "%.4e", loss); }

std::string head_of(const RunStatus& status, size_t width) {
  std::vector<std::string> parts{status.state,
                                 message("step ", status.step, status.steps ? message("/", *status.steps) : "")};
  if (status.loss) parts.push_back("loss " + loss_text(*status.loss));
  if (status.validation_loss) parts.push_back("held-out " + loss_text(*status.validation_loss));
  if (status.tokens_per_second) parts.push_back(print("%.0f ", *status.tokens_per_second) + status.unit + "/s");
  if (status.idle_share) parts.push_back(print("idle %.0f %%", 100 * *status.idle_share));
  if (status.seconds_left) parts.push_back(time_text(*status.seconds_left) + " left");
  return filled(parts, "  ", width);
}

// "lost at step 41, 2026-01-31T12:00:00Z: rank 2 on node-7 was killed by signal 9"
std::string event_of(const RunEvent& event, size_t width) {
  std::istringstream words(
      message(event.event, " at step ", event.step, ", ", event.time, event.reason.empty() ? "" : ": ", event.reason));
  return filled({std::istream_iterator<std::string>(words), {}}, " ", width);
}

std::string line_of(const RankStatus& rank) {
  const PulseRecord& pulse = rank.pulse;
  const std::string action = pulse.action().empty() ? text_of(pulse.phase) : pulse.action();
  const auto step = pulse.median_step();
  // What is cut at the right is the less important.
  std::string notes = rank.slowness && *rank.slowness >= slow ? print("slow: %.1f x", *rank.slowness) : "";
  if (pulse.waits_for >= 0) notes += message(notes.empty() ? "" : ", ", "waits for rank ", pulse.waits_for);
  if (pulse.waits_for == waits_for_several) notes += message(notes.empty() ? "" : ", ", "waits for several");
  // 63 columns, so that "waits for rank 12" fits into 80.
  return print("%4lld  %-10s %7lld  %-10s %8s %6.0f %8s  ", static_cast<long long>(pulse.rank),
               fitted(pulse.host, 10).c_str(), static_cast<long long>(pulse.step), fitted(action, 10).c_str(),
               time_text(rank.seconds_since).c_str(), pulse.rss_mib, step ? print("%.3f s", *step).c_str() : "-") +
         notes;
}

}  // namespace

std::string status_text(const RunStatus& status, int width) {
  const auto columns = static_cast<size_t>(width > 0 ? width : 80);
  std::string text = fitted(status.run, columns) + "\n" + head_of(status, columns);
  if (status.event) text += event_of(*status.event, columns);
  if (status.ranks.empty()) return text + "no rank has told anything\n";
  text += fitted(print("%4s  %-10s %7s  %-10s %8s %6s %8s", "rank", "host", "step", "action", "since", "MiB", "step"),
                 columns) +
          "\n";
  for (const RankStatus& rank : status.ranks) text += fitted(line_of(rank), columns) + "\n";
  return text;
}

}  // namespace interlock
