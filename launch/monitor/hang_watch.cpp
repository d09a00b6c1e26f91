#include "launch/monitor/hang_watch.h"

#include <algorithm>
#include <filesystem>

#include "runtime/core/error.h"
#include "runtime/core/readable_file.h"
#include "runtime/storage/folder_lock.h"

namespace interlock {
namespace {

// Who says to hold the run folder: another text for every process, "" for nobody.
std::string owner_of(const std::string& run_folder) {
  std::string ignored;
  const std::string path = (std::filesystem::path(run_folder) / FolderLock::file_name).string();
  const std::string note = read_regular_file(path, most_config_bytes, ignored).value_or("");
  return note.substr(0, note.find('\n'));
}

// 0: the process is gone.
char letter_of(const std::string& line) {
  const size_t name_end = line.rfind(')');
  return name_end == std::string::npos || name_end + 2 >= line.size() ? '\0' : line[name_end + 2];
}

std::string process_text(const PulseRecord& pulse, char letter) {
  switch (letter) {
    case '\0':
      return message(pulse.pid, " is gone");
    case 'T':
    case 't':
      return message(pulse.pid, " is stopped (by SIGSTOP, a terminal or a debugger)");
    case 'D':
      return message(pulse.pid, " waits for a disk or a file system");
    case 'Z':
      return message(pulse.pid, " has ended");
    case 'R':
      return message(pulse.pid, " is running");
    default:
      return "";
  }
}

// Of one moment: a beat over TCP has the last action alone.
bool tells_more(const PulseRecord& one, const PulseRecord& other) {
  const auto before_last = [](const PulseRecord& pulse) {
    const auto actions = pulse.last_actions(2);
    return actions.size() == 2 && actions.front().text[0] != '\0';
  };
  return before_last(one) && !before_last(other);
}

}  // namespace

HangWatch::HangWatch(std::string run_folder, int ranks, HangLimits limits)
    : run_folder_(std::move(run_folder)),
      owner_before_(owner_of(run_folder_)),
      limits_(limits),
      ranks_(static_cast<size_t>(ranks)),
      last_look_(Clock::now()) {
  for (const PulseRecord& pulse : read_pulses(run_folder_)) before_[pulse.rank] = pulse.session;
}

bool HangWatch::is_from_before(const PulseRecord& pulse) const {
  const auto found = before_.find(pulse.rank);
  return found != before_.end() && found->second == pulse.session;
}

// One that comes in two ways is taken where it is newer.
void HangWatch::take(const PulseRecord& pulse) {
  if (static_cast<size_t>(pulse.rank) >= ranks_.size() || is_from_before(pulse)) return;
  WatchedRank& rank = ranks_[static_cast<size_t>(pulse.rank)];
  const bool other = !rank.seen || rank.pulse.session != pulse.session;
  if (other ? rank.seen && pulse.wall < rank.pulse.wall : pulse.beat < rank.pulse.beat) return;
  if (other || rank.pulse.beat != pulse.beat) rank.quiet = 0;
  if (other || rank.pulse.changes != pulse.changes || rank.pulse.phase != pulse.phase) rank.still = 0;
  if (other || rank.pulse.beat != pulse.beat || tells_more(pulse, rank.pulse)) rank.pulse = pulse;
  rank.seen = true;
}

std::optional<Verdict> HangWatch::look(Clock::time_point now) {
  const double passed = std::min(std::chrono::duration<double>(now - last_look_).count(),
                                 2 * std::chrono::duration<double>(between_looks).count());
  last_look_ = now;
  for (WatchedRank& rank : ranks_) {
    rank.still += passed;
    rank.quiet += passed;
  }
  catch_up();
  // Rank 0 locks the folder before it tells anything. If it could do that alone, nothing is known of the others either.
  if (!has_begun() && owner_of(run_folder_) != owner_before_) return std::nullopt;
  look_at_processes();
  return judge(ranks_, limits_);
}

void HangWatch::look_at_processes() {
  for (WatchedRank& rank : ranks_) {
    rank.process.clear();
    rank.mute = false;
    if (!rank.seen) continue;
    bool ended = rank.pulse.closed != 0;  // nobody tells of it any more, whatever its process does
    if (shares_processes(rank.pulse)) {
      const char letter = letter_of(process_line(rank.pulse));
      rank.process = process_text(rank.pulse, letter);
      rank.mute = !ended && (letter == 'R' || letter == 'S');
      ended |= letter == '\0' || letter == 'T' || letter == 't' || letter == 'Z';
    }
    if (!ended && rank.quiet > 0 && !can_write_pulse(run_folder_, rank.pulse.rank)) rank.mute = true;
  }
}

void HangWatch::catch_up() {
  for (const PulseRecord& pulse : read_pulses(run_folder_)) take(pulse);
  for (const PulseRecord& pulse : heard_) take(pulse);
}

bool HangWatch::has_begun() const { return !ranks_.empty() && ranks_.front().seen; }

int64_t HangWatch::last_step() const {
  int64_t last = 0;
  for (const WatchedRank& rank : ranks_) last = std::max(last, rank.seen ? rank.pulse.step : 0);
  return last;
}

}  // namespace interlock
