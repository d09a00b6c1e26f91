#include "launch/plan_report/scaling_report.h"

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "launch/plan_report/timeline.h"
#include "parallel/plan/schedule.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

using nlohmann::json;

std::vector<std::string> rules_in(const std::vector<ScalingPoint>& points) {
  std::vector<std::string> rules;
  for (const ScalingPoint& point : points)
    if (std::ranges::find(rules, point.rule) == rules.end()) rules.push_back(point.rule);
  return rules;
}

std::vector<const ScalingPoint*> of(const ScalingReport& report, Scaling scaling) {
  std::vector<const ScalingPoint*> points;
  for (const ScalingPoint& point : report.points)
    if (point.scaling == scaling) points.push_back(&point);
  return points;
}

const char* heading(Scaling scaling) {
  return scaling == Scaling::weak ? "Weak scaling: every rank keeps its microbatches, the batch grows"
                                  : "Strong scaling: the batch stays, the ranks share it";
}

std::string percent(double share) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(1) << 100 * share << " %";
  return text.str();
}

// A table with a line for each number of ranks and, for each rule, time and efficiency.
void tabulate(std::ostringstream& out, const ScalingReport& report, Scaling scaling) {
  const std::vector<std::string> rules = rules_in(report.points);
  out << "\n"
      << heading(scaling) << "\n  " << std::setw(6) << "ranks" << std::setw(10) << "replicas" << std::setw(14)
      << "microbatches";
  for (const std::string& rule : rules) out << "  " << std::setw(24) << rule;
  out << "\n";
  std::string why_not;
  const std::vector<const ScalingPoint*> points = of(report, scaling);
  for (const ScalingPoint* first : points) {
    if (first->rule != rules.front()) continue;
    std::ostringstream cells;
    std::map<std::string, std::string> refusals;  // the rules of each
    bool some = false;
    for (const ScalingPoint* point : points) {
      if (point->ranks != first->ranks) continue;
      if (point->why_not.empty()) {
        cells << "  " << std::setw(14) << TimeUnit::of_seconds(point->step).text(point->step) << std::setw(10)
              << percent(point->efficiency);
        some = true;
      } else {
        cells << "  " << std::setw(24) << "-";
        std::string& named = refusals[point->why_not];
        named += (named.empty() ? "" : ", ") + point->rule;
      }
    }
    if (some)
      out << "  " << std::setw(6) << first->ranks << std::setw(10) << first->replicas << std::setw(14)
          << first->microbatches << cells.str() << "\n";
    const bool alike = !some && refusals.size() == 1;
    for (const auto& [why, named] : refusals)
      why_not += message("  ", first->ranks, " ranks", alike ? "" : ", " + named, ": ", why, "\n");
  }
  out << why_not;
}

}  // namespace

std::string schedules_of(const ParallelSettings& parallel) {
  std::string text = parallel.schedule == auto_schedule
                         ? "the schedule that is fastest for its rule there"
                         : message("parallel.schedule = \"", parallel.schedule, "\", one rank alone under the fastest");
  if (parallel.in_flight > 0) text += message(", at most ", parallel.in_flight, " microbatches in flight");
  if (parallel.memory_mib > 0) text += message(", within ", parallel.memory_mib, " MiB per rank");
  return text;
}

std::string scaling_text(const ScalingReport& report) {
  std::ostringstream out;
  out << "Time of a step, and samples per second and rank as a share of what one rank alone does.\nCosts: "
      << report.costs << ".\nLinks: " << report.links << ".\n";
  for (const Scaling scaling : {Scaling::weak, Scaling::strong}) tabulate(out, report, scaling);
  out << "\nA step is simulated under " << report.schedules
      << ". Gradients are summed over "
         "replicas in a ring after\n"
         "it, with nothing at the same time: runs overlap much of that, so more replicas do a little better than "
         "this.\n";
  return out.str();
}

json scaling_json(const ScalingReport& report) {
  json points = json::array();
  for (const ScalingPoint& point : report.points) {
    if (!point.why_not.empty()) continue;
    points.push_back({{"scaling", point.scaling == Scaling::weak ? "weak" : "strong"},
                      {"ranks", point.ranks},
                      {"rule", point.rule},
                      {"schedule", point.schedule},
                      {"step", point.step},
                      {"sum", point.sum},
                      {"efficiency", point.efficiency},
                      {"replicas", point.replicas},
                      {"microbatches", point.microbatches}});
  }
  return points;
}

}  // namespace interlock
