// The part of a plan's report that says which schedules there were to choose from, and how fast any could be.

#include <iomanip>
#include <sstream>

#include "launch/plan_report/plan_report.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

std::string bounds_text(const PlanReport& report) {
  const auto time = [&](double cost) { return report.unit.text(cost); };
  return message("No order of this step is below ", time(report.bounds.best()), " (busiest rank ",
                 time(report.bounds.busiest_rank), ", longest chain ", time(report.bounds.longest_chain),
                 ", a rank with what it waits for ", time(report.bounds.waiting_rank), ", busiest link ",
                 time(report.bounds.busiest_link), ").\n");
}

}  // namespace

std::string candidates_text(const PlanReport& report) {
  std::ostringstream out;
  out << "\n";
  if (!report.choice.candidates.empty()) {
    const int judged = report.choice.judged_microbatches;
    out << "Schedules that fit the placement, the fastest first";
    if (report.memory_limit_mib > 0) out << ", within " << report.memory_limit_mib << " MiB per rank";
    if (judged < report.plan.shape.microbatches)
      out << " (judged by steps of " << judged / 2 << " and " << judged << " microbatches)";
    out << "\n  " << std::left << std::setw(14) << "" << std::right << std::setw(16) << "time" << std::setw(14)
        << "idle share" << std::setw(16) << "peak memory"
        << "\n";
    for (const Candidate& each : report.choice.candidates) {
      out << "  " << std::left << std::setw(14) << each.schedule << std::right << std::setw(16)
          << report.unit.text(each.step) << std::setw(14) << percent_text(each.idle_share) << std::setw(16)
          << size_text(each.peak_bytes);
      if (each.in_flight > 0)
        out << "  at most " << each.in_flight << (each.in_flight == 1 ? " microbatch" : " microbatches")
            << " in flight";
      if (!each.fits) out << "  too much";
      out << "\n";
    }
    for (const std::string& refusal : report.choice.refused) out << "  not tried: " << refusal << "\n";
  }
  return out.str() + bounds_text(report);
}

}  // namespace interlock
