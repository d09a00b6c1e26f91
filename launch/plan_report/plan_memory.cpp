// The part of a plan's report that says what every rank will hold.

#include <algorithm>
#include <array>
#include <iomanip>
#include <sstream>

#include "launch/plan_report/plan_report.h"

namespace interlock {
namespace {

constexpr size_t most_rank_rows = 16;  // --json has all

struct Column {
  const char* name;
  double MemoryFootprint::*value;
};
constexpr std::array<Column, 9> columns = {{{"parameters", &MemoryFootprint::parameters},
                                            {"gradients", &MemoryFootprint::gradients},
                                            {"optimizer", &MemoryFootprint::optimizer},
                                            {"bf16 copies", &MemoryFootprint::product_copies},
                                            {"readout copy", &MemoryFootprint::readout_copies},
                                            {"checkpoint", &MemoryFootprint::checkpoint},
                                            {"data", &MemoryFootprint::data},
                                            {"activations", &MemoryFootprint::activations},
                                            {"sums", &MemoryFootprint::sums}}};

// Where a run of this size would be refused, or come near to it, if all of it were started here.
std::string machine_text(const PlanReport& report) {
  if (report.machine.bytes == 0) return "";
  const Fit fit = fit_of(report.together, report.machine);
  return message("On this machine alone, ", fit_text(report.together, report.processes, report.machine),
                 fit == Fit::exceeds ? ": `interlock train` refuses that\n"
                 : fit == Fit::tight ? ": little is left\n"
                                     : "\n");
}

}  // namespace

std::string memory_text(const PlanReport& report) {
  if (report.memory.empty()) return "";
  std::ostringstream out;
  out << "\nMemory per rank at its peak";
  if (report.empty_rank > 0)
    out << ", on top of the " << size_text(report.empty_rank) << " that an empty one takes here (measured)";
  out << "\n";
  // A column that is nothing on every rank is left out.
  std::vector<Column> shown;
  for (const Column& column : columns)
    if (std::any_of(report.memory.begin(), report.memory.end(),
                    [&](const MemoryFootprint& h) { return h.*column.value > 0; }))
      shown.push_back(column);
  out << std::string(10, ' ');
  for (const Column& column : shown) out << std::setw(14) << column.name;
  out << std::setw(14) << "total"
      << "\n";
  for (size_t rank = 0; rank < std::min(report.memory.size(), most_rank_rows); ++rank) {
    out << "  rank " << std::left << std::setw(3) << rank << std::right;
    for (const Column& column : shown) out << std::setw(14) << size_text(report.memory[rank].*column.value);
    out << std::setw(14) << size_text(report.memory[rank].all() + report.empty_rank) << "\n";
  }
  if (report.memory.size() > most_rank_rows) out << "  (--json has the other ranks)\n";
  out << machine_text(report);
  return out.str();
}

}  // namespace interlock
