// A fault as a person wants to see it: every rank's list around the place it would have reached, the failing action
// marked.

#include <algorithm>

#include "parallel/plan/plan_check.h"
#include "parallel/plan/rendezvous.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

constexpr int64_t before = 3, after = 3;  // actions shown on either side
constexpr int most_rows = 24;             // ranks shown; around the failing one when there are more

std::string padded(std::string text, size_t width) {
  if (text.size() < width) text.append(width - text.size(), ' ');
  return text;
}

struct Row {
  int rank;
  std::vector<std::string> cells;
  std::string note;
};

Row row_of(const Plan& plan, int rank, int64_t at, bool failing) {
  Row row{rank, {}, ""};
  const std::vector<Action>& actions = plan.ranks[rank];
  const int64_t size = static_cast<int64_t>(actions.size());
  for (int64_t i = at - before; i < at + after; ++i) {
    std::string cell;
    if (i >= 0 && i < size) cell = text_of(actions[i], plan.flows);
    if (i == size) cell = "(end)";
    if (i == at && !cell.empty()) cell = (failing ? "--> " : "> ") + cell;
    row.cells.push_back(cell);
  }
  return row;
}

}  // namespace

std::string show_fault(const Plan& plan, const PlanFault& fault) {
  const bool readable = static_cast<int>(plan.ranks.size()) == plan.shape.ranks;
  if (!readable) return fault.reason;
  Rendezvous run(plan, fault.rank, fault.index);
  run.run();
  const int first = std::clamp(fault.rank - most_rows / 2, 0, std::max(0, plan.shape.ranks - most_rows));
  std::vector<Row> rows;
  std::vector<size_t> widths(before + after, 0);
  for (int rank = first; rank < std::min(plan.shape.ranks, first + most_rows); ++rank) {
    const bool failing = rank == fault.rank;
    rows.push_back(row_of(plan, rank, failing ? fault.index : run.position(rank), failing));
    if (!failing && !run.finished(rank)) rows.back().note = run.reason(rank);
    for (size_t i = 0; i < widths.size(); ++i) widths[i] = std::max(widths[i], rows.back().cells[i].size());
  }
  std::string text;
  for (const Row& row : rows) {
    std::string line = padded(message("rank ", row.rank, ": "), message("rank ", plan.shape.ranks, ": ").size());
    for (size_t i = 0; i < widths.size(); ++i) line += " " + padded(row.cells[i], widths[i]);
    if (!row.note.empty()) line += "   " + row.note;
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  if (plan.shape.ranks > most_rows) text += message("(", plan.shape.ranks - most_rows, " more ranks)\n");
  const bool at_end = fault.index >= static_cast<int64_t>(plan.ranks[fault.rank].size());
  return text + message("rank ", fault.rank,
                        at_end ? ", at the end of its list: " : message(", action ", fault.index, ": "), fault.reason);
}

}  // namespace interlock
