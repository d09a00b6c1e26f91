#include "launch/monitor/verdict.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <set>

#include "launch/monitor/open_messages.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

constexpr double median_steps = 5;
// Ranks tell twice a second. On a busy machine, or over a network file system, some tellings come late.
constexpr double longest_quiet = 10;
constexpr size_t told_actions = 12;
constexpr size_t grid_actions = 4, most_rows = 24, most_messages = 8;

template <class... Values>
std::string print(const char* format, Values... values) {
  char text[160];
  std::snprintf(text, sizeof text, format, values...);
  return text;
}

bool has_ended(const WatchedRank& rank) { return rank.seen && rank.pulse.phase == PulsePhase::ended; }

bool is_quiet(const WatchedRank& rank, double still) {
  return !rank.seen || rank.quiet >= std::min(longest_quiet, still / 2);
}

bool waits(const WatchedRank& rank) { return rank.pulse.waits_for != waits_for_nobody; }

double median_step(const std::vector<WatchedRank>& ranks) {
  double longest = 0;
  for (const WatchedRank& rank : ranks)
    if (rank.seen) longest = std::max(longest, rank.pulse.median_step().value_or(0));
  return longest;
}

bool is_stopped(const WatchedRank& rank) { return rank.process.find("is stopped") != std::string::npos; }

// `begun`: of a rank that says nothing, what others know better: steps are done.
double limit_of(const WatchedRank& rank, bool begun, double step, const HangLimits& limits) {
  const double stall = std::max(limits.stall_seconds, median_steps * step);
  if (has_ended(rank) && is_stopped(rank)) return stall;  // no disk is waited for
  const bool past_start = rank.seen && rank.pulse.steps_done > 0;
  switch (rank.seen ? rank.pulse.phase : PulsePhase::start) {
    case PulsePhase::start:
      return rank.seen && begun ? stall : std::max(stall, limits.startup_seconds);
    case PulsePhase::training:
      return past_start ? stall : std::max(stall, limits.startup_seconds);
    case PulsePhase::evaluation:
      return std::max({stall, limits.evaluation_seconds, past_start ? 0 : limits.startup_seconds});
    default:
      return std::max(stall, limits.checkpoint_seconds);
  }
}

// Of ranks that have all ended: whose process is stopped, else all.
std::vector<size_t> who_does_not_leave(const std::vector<WatchedRank>& ranks) {
  std::vector<size_t> stopped, all;
  for (size_t i = 0; i < ranks.size(); ++i) {
    all.push_back(i);
    if (is_stopped(ranks[i])) stopped.push_back(i);
  }
  return stopped.empty() ? all : stopped;
}

// Those that the others wait for: who says nothing and could, else who does not wait for another, else all, as they
// wait in a circle or a link between them carries nothing. Nobody where none of those that tell is busy and some cannot
// tell.
std::vector<size_t> who_holds_up(const std::vector<WatchedRank>& ranks, double still) {
  if (std::ranges::all_of(ranks, has_ended)) return who_does_not_leave(ranks);
  std::vector<size_t> quiet, busy, all;
  bool some_mute = false;
  for (size_t i = 0; i < ranks.size(); ++i) {
    if (has_ended(ranks[i])) continue;
    all.push_back(i);
    const bool silent = is_quiet(ranks[i], still);
    some_mute |= silent && ranks[i].mute;
    if (silent && !ranks[i].mute) quiet.push_back(i);
    if (!silent && !waits(ranks[i])) busy.push_back(i);
  }
  if (quiet.empty() && busy.empty() && some_mute) return {};
  return !quiet.empty() ? quiet : !busy.empty() ? busy : all;
}

std::string doing(const WatchedRank& rank) {
  const std::string action = rank.pulse.action();
  return message("step ", rank.pulse.step, ", ", text_of(rank.pulse.phase),
                 action.empty() || action == text_of(rank.pulse.phase) ? "" : ", " + action);
}

std::string reason_of(const std::vector<WatchedRank>& ranks, const std::vector<size_t>& causes, double still,
                      double limit) {
  const size_t first = causes.front();
  const WatchedRank& rank = ranks[first];
  if (has_ended(rank)) {
    const std::string since = print("all ranks have done their work %.0f s ago (limit %.0f s), but ", still, limit);
    return since + (is_stopped(rank) ? message("rank ", first, " on ", rank.pulse.host, " does not leave: its process ",
                                               rank.process)
                                     : "the launcher or a process of a rank does not end: it is stopped, or hangs");
  }
  std::string text = print("no rank has got on for %.0f s (limit %.0f s): ", still, limit);
  if (!rank.seen) return text + message("nothing was ever heard of rank ", first);
  if (!is_quiet(rank, still) && waits(rank))
    return text + "the ranks wait for each other: a message is lost, or the network between them is down";
  text += message("rank ", first, " on ", rank.pulse.host);
  if (is_quiet(rank, still)) {
    text += message(" says nothing since ", doing(rank), ": ",
                    rank.process.empty() ? "its process is stopped, its machine hangs, or the network between is down"
                                         : "its process " + rank.process);
  } else {
    text += message(" stands still in ", doing(rank), rank.process.empty() ? "" : "; its process " + rank.process);
  }
  if (causes.size() > 1)
    text += causes.size() == 2 ? " (so does one other)" : message(" (so do ", causes.size() - 1, " others)");
  return text;
}

std::string note_of(const WatchedRank& rank) {
  std::string what;
  if (rank.pulse.waits_for >= 0)
    what = message("waits for rank ", rank.pulse.waits_for);
  else if (rank.pulse.waits_for == waits_for_several)
    what = "waits for several";
  else
    what = has_ended(rank) ? "has ended" : "computes";
  what += print(", %.0f s", rank.still);
  if (rank.quiet >= 2) return "when it spoke last: " + what + print("; quiet for %.0f s", rank.quiet);
  return what;
}

// A row for each rank, as `plan --check` draws them: what it did last, where it stands (">", of the cause "-->"), and
// what it waits for. Of many ranks those around the cause.
std::string grid_of(const std::vector<WatchedRank>& ranks, const std::vector<size_t>& causes, size_t most) {
  const size_t first =
      ranks.size() <= most ? 0 : std::min(causes.front() - std::min(causes.front(), most / 2), ranks.size() - most);
  std::vector<std::vector<std::string>> rows;
  std::vector<size_t> widths;
  for (size_t i = first; i < std::min(ranks.size(), first + most); ++i) {
    const WatchedRank& rank = ranks[i];
    const bool is_cause = std::ranges::find(causes, i) != causes.end();
    std::vector<std::string> row{message("rank ", i, ":")};
    std::vector<PulseRecord::Action> done =
        rank.seen ? rank.pulse.last_actions(grid_actions) : std::vector<PulseRecord::Action>();
    row.push_back(rank.seen ? message("step ", rank.pulse.step) : "");
    row.resize(2 + grid_actions - done.size());
    for (const PulseRecord::Action& action : done) row.emplace_back(action.text);
    if (!rank.seen) row.back() = "never heard of";
    if (!row.back().empty()) row.back().insert(0, is_cause ? "--> " : "> ");
    row.push_back(rank.seen ? "  " + note_of(rank) : "");
    widths.resize(row.size());
    for (size_t cell = 0; cell < row.size(); ++cell) widths[cell] = std::max(widths[cell], row[cell].size());
    rows.push_back(std::move(row));
  }
  std::string text;
  for (const std::vector<std::string>& row : rows) {
    std::string line = " ";
    for (size_t cell = 0; cell < row.size(); ++cell)
      line += " " + row[cell] + std::string(widths[cell] - row[cell].size(), ' ');
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  if (ranks.size() > most) text += message("  (", ranks.size() - most, " more ranks)\n");
  return text;
}

std::string last_of(size_t number, const WatchedRank& rank) {
  if (!rank.seen || rank.pulse.actions == 0) return "";
  std::string text = message("  rank ", number, " did last:");
  int64_t step = -1;
  for (const PulseRecord::Action& action : rank.pulse.last_actions(told_actions)) {
    if (action.step != step) text += message(" [step ", step = action.step, "]");
    text += message(" ", action.text);
  }
  return text + "\n";
}

std::vector<OpenMessage> open_between(const std::vector<WatchedRank>& ranks, double still) {
  std::vector<PulseRecord> seen;
  std::set<int64_t> silent;
  for (const WatchedRank& rank : ranks) {
    if (!rank.seen) continue;
    seen.push_back(rank.pulse);
    if (is_quiet(rank, still)) silent.insert(rank.pulse.rank);
  }
  return open_messages(seen, silent);
}

}  // namespace

std::optional<Verdict> judge(const std::vector<WatchedRank>& ranks, const HangLimits& limits) {
  const bool over = std::ranges::all_of(ranks, has_ended);
  double still = std::numeric_limits<double>::infinity();
  for (const WatchedRank& rank : ranks)
    if (over || !has_ended(rank)) still = std::min(still, rank.still);
  if (!std::isfinite(still)) return std::nullopt;
  const std::vector<size_t> causes = who_holds_up(ranks, still);
  if (causes.empty()) return std::nullopt;
  const double step = median_step(ranks);
  double limit = std::numeric_limits<double>::infinity();
  const bool some_begun =
      std::ranges::any_of(ranks, [](const WatchedRank& rank) { return rank.seen && rank.pulse.steps_done > 0; });
  for (const size_t cause : causes) {
    const bool begun = some_begun && is_quiet(ranks[cause], still);
    limit = std::min(limit, limit_of(ranks[cause], begun, step, limits));
  }
  if (still < limit) return std::nullopt;
  Verdict verdict;
  verdict.rank = causes.size() == ranks.size() && ranks.size() > 1 ? -1 : static_cast<int64_t>(causes.front());
  for (const WatchedRank& rank : ranks) verdict.step = std::max(verdict.step, rank.pulse.step);
  verdict.reason = reason_of(ranks, causes, still, limit);
  verdict.ranks = grid_of(ranks, causes, most_rows);
  verdict.all_ranks = grid_of(ranks, causes, ranks.size());
  for (const size_t cause : causes)
    if (causes.size() <= 4) verdict.ranks += last_of(cause, ranks[cause]);
  const std::vector<OpenMessage> open = open_between(ranks, still);
  for (size_t i = 0; i < open.size(); ++i) {
    verdict.messages += "  " + text_of(open[i]) + "\n";
    if (i < most_messages) verdict.ranks += "  " + text_of(open[i]) + "\n";
  }
  if (open.size() > most_messages)
    verdict.ranks += message("  (", open.size() - most_messages, " more messages that one side alone knows of)\n");
  return verdict;
}

}  // namespace interlock
