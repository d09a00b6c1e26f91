#include "launch/monitor/prometheus.h"

#include <charconv>
#include <functional>
#include <optional>

#include "runtime/core/error.h"

namespace interlock {
namespace {

// A value of a label: backslash, quote and line end stand behind a backslash.
std::string quoted(const std::string& value) {
  std::string text = "\"";
  for (const char c : value) {
    if (c == '\\' || c == '"') text += '\\';
    if (c == '\n') text += "\\n";
    if (c != '\n') text += c;
  }
  return text + "\"";
}

// The shortest text that reads back to the same number.
std::string exact(double value) {
  char text[64];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

std::string head(const std::string& name, const std::string& help) {
  return message("# HELP ", name, " ", help, "\n# TYPE ", name, " gauge\n");
}

std::string one(const std::string& name, const std::string& help, const std::optional<double>& value) {
  return value ? message(head(name, help), name, " ", exact(*value), "\n") : "";
}

std::string of_ranks(const RunStatus& status, const std::string& name, const std::string& help,
                     const std::function<std::optional<double>(const RankStatus&)>& value_of) {
  std::string lines;
  for (const RankStatus& rank : status.ranks)
    if (const auto value = value_of(rank))
      lines +=
          message(name, "{rank=\"", rank.pulse.rank, "\",host=", quoted(rank.pulse.host), "} ", exact(*value), "\n");
  return lines.empty() ? "" : head(name, help) + lines;
}

}  // namespace

std::string prometheus_text(const RunStatus& status) {
  using Rank = const RankStatus&;
  const auto count = [](int64_t number) { return std::make_optional(static_cast<double>(number)); };
  return one("interlock_running", "1 while the run goes on.", status.state == "running" ? 1 : 0) +
         one("interlock_step", "Steps begun by the rank that is furthest.", count(status.step)) +
         one("interlock_steps", "Steps that the config asks for.", status.steps ? count(*status.steps) : std::nullopt) +
         one("interlock_loss", "Loss of the last stage, per target.", status.loss) +
         one("interlock_validation_loss", "Held-out loss, per target.", status.validation_loss) +
         one("interlock_tokens_per_second", "Tokens computed per second, padding included.", status.tokens_per_second) +
         one("interlock_idle_share", "Share of the ranks' time spent waiting.", status.idle_share) +
         one("interlock_seconds_left", "Until the last step, at the present speed.", status.seconds_left) +
         of_ranks(status, "interlock_rank_step", "Step under way.", [&](Rank rank) { return count(rank.pulse.step); }) +
         of_ranks(status, "interlock_rank_seconds_since_progress", "Since the rank last got on.",
                  [](Rank rank) { return std::make_optional(rank.seconds_since); }) +
         of_ranks(status, "interlock_rank_step_seconds", "Median time of a step.",
                  [](Rank rank) { return rank.pulse.median_step(); }) +
         of_ranks(status, "interlock_rank_busy_seconds", "Median of the part of a step in which it computes.",
                  [](Rank rank) { return rank.pulse.median_busy(); }) +
         of_ranks(status, "interlock_rank_slowness", "That part beside its median over ranks.",
                  [](Rank rank) { return rank.slowness; }) +
         of_ranks(status, "interlock_rank_resident_bytes", "Memory in use.",
                  [](Rank rank) { return std::make_optional(rank.pulse.rss_mib * (1 << 20)); });
}

}  // namespace interlock
