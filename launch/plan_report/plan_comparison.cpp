// The part of a plan's report that sets it beside global learning.

#include "launch/plan_report/plan_report.h"

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <iterator>
#include <sstream>

#include "runtime/core/error.h"

namespace interlock {
namespace {

constexpr size_t most_rank_rows = 16;  // --json has all

// One line of the comparison: name, this rule, global.
void row(std::ostringstream& out, const std::string& name, const std::string& mine,
         const std::optional<std::string>& global) {
  out << "  " << std::left << std::setw(24) << name << std::right << std::setw(16) << mine;
  if (global) out << std::setw(16) << *global;
  out << "\n";
}

}  // namespace

std::string size_text(double bytes) {
  static constexpr const char* names[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  size_t power = 0;
  for (; bytes >= 1024 && power + 1 < std::size(names); ++power) bytes /= 1024;
  std::ostringstream out;
  out << std::fixed << std::setprecision(power == 0 || bytes >= 100 ? 0 : 1) << bytes << " " << names[power];
  return out.str();
}

std::string percent_text(double share) {
  std::ostringstream out;
  out << std::fixed << std::setprecision(1) << 100 * share << " %";
  return out.str();
}

std::string comparison_text(const PlanReport& report) {
  const Simulation& mine = report.simulation;
  const auto& global = report.global;
  const auto of_global = [&](const auto& text) {
    return global ? std::optional<std::string>(text(*global)) : std::nullopt;
  };
  std::ostringstream out;
  out << "\nA steady step, simulated";
  if (global && report.schedule_of_global == report.plan.schedule)
    out << ", beside global learning under the same schedule";
  if (global && report.schedule_of_global != report.plan.schedule)
    out << ", beside global learning under its own (" << report.schedule_of_global << ")";
  out << "\n";
  row(out, "", report.plan.rule.name, global ? std::optional<std::string>("global") : std::nullopt);
  row(out, "time", report.unit.text(mine.step), of_global([&](const auto& s) { return report.unit.text(s.step); }));
  row(out, "idle share", percent_text(mine.idle_share),
      of_global([](const auto& s) { return percent_text(s.idle_share); }));
  const auto ranks = static_cast<size_t>(report.plan.shape.ranks);
  const bool sized = *std::max_element(mine.peak_bytes.begin(), mine.peak_bytes.end()) > 0;
  const auto peak = [](const auto& s) {
    return size_text(*std::max_element(s.peak_bytes.begin(), s.peak_bytes.end()));
  };
  if (sized) row(out, "peak memory, any rank", peak(mine), of_global(peak));
  if (ranks == 1 || ranks > most_rank_rows) return out.str();
  for (size_t rank = 0; rank < ranks; ++rank)
    row(out, message("idle share, rank ", rank), percent_text(mine.idle_share_of_rank[rank]),
        of_global([&](const auto& s) { return percent_text(s.idle_share_of_rank[rank]); }));
  for (size_t rank = 0; sized && rank < ranks; ++rank)
    row(out, message("peak memory, rank ", rank), size_text(mine.peak_bytes[rank]),
        of_global([&](const auto& s) { return size_text(s.peak_bytes[rank]); }));
  if (!sized) out << "  (memory is not known without a model)\n";
  return out.str();
}

std::string break_even_text(const PlanReport& report) {
  if (!report.break_even) return "";
  const double at = *report.break_even;
  if (at < 0)
    return message("\nBreak-even: this rule steps faster than global at every number of microbatches tried (up to ",
                   report.most_tried, ").\n");
  if (at == 0) return "\nBreak-even: global learning is at least as fast per step from the first microbatch on.\n";
  std::ostringstream exact;
  exact << std::setprecision(3) << at;
  const std::string how = report.break_even_by_formula
                              ? message(exact.str(), " by the formula 3 (K - N) / (N - 1 + h), for one stage per rank")
                              : std::string("found by simulation");
  return message(
      "\nBreak-even: from ", static_cast<int64_t>(std::ceil(at - 1e-9)), " microbatches per step on (", how,
      "), global learning\nis at least as fast per step: its idle time is paid once per step, the extra passes and "
      "heads of this rule\nonce per microbatch.\n");
}

}  // namespace interlock
