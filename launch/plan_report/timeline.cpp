// Bars of a timeline, units of time, and the text picture.

#include "launch/plan_report/timeline.h"

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <sstream>

#include "launch/plan_report/timeline_bars.h"

namespace interlock {

Bars bars_of(const Plan& plan, const Simulation& simulation) {
  Bars bars;
  bars.ranks.resize(plan.ranks.size());
  for (const SimulatedAction& timed : simulation.timeline) {
    if (timed.end <= timed.begin) continue;
    const Action& action = plan.ranks[timed.rank][timed.index];
    bars.ranks[timed.rank].push_back({action, timed.step, timed.begin, timed.end});
    bars.end = std::max(bars.end, timed.end);
  }
  for (auto& rank : bars.ranks)
    std::stable_sort(rank.begin(), rank.end(), [](const Bar& a, const Bar& b) { return a.begin < b.begin; });
  return bars;
}

std::vector<std::string> labels_of(const Plan& plan, const Action& action) {
  const std::string kind(text_of(action.kind));
  const std::string numbered = action.microbatch < 0 ? kind : kind + std::to_string(action.microbatch);
  std::vector<std::string> labels;
  if (!plan.shape.placement.is_one_each()) labels.push_back(std::to_string(action.stage) + numbered);
  labels.push_back(numbered);
  if (numbered != kind) labels.push_back(kind);
  return labels;
}

TimeUnit TimeUnit::of_seconds(double longest) {
  if (longest >= 1) return {1, "s"};
  if (longest >= 1e-3) return {1e3, "ms"};
  return {1e6, "us"};
}

std::string TimeUnit::text(double cost) const {
  const double value = cost * per_cost;
  std::ostringstream out;
  // Three digits that count; whole numbers as they are.
  const bool whole = std::abs(value - std::round(value)) < 1e-9 * std::max(1.0, std::abs(value));
  out << std::fixed << std::setprecision(whole || value >= 100 ? 0 : value >= 10 ? 1 : 2) << value << " " << name;
  return out.str();
}

namespace {

// Columns per unit of cost. Where all bars are multiples of the shortest, that one gets a whole number of columns, so
// that equal bars look equal.
double text_scale(const Bars& bars, int columns) {
  double shortest = bars.end;
  for (const auto& rank : bars.ranks)
    for (const Bar& bar : rank) shortest = std::min(shortest, bar.end - bar.begin);
  bool multiples = true;
  for (const auto& rank : bars.ranks)
    for (const Bar& bar : rank) {
      const double times = (bar.end - bar.begin) / shortest;
      multiples = multiples && std::abs(times - std::round(times)) < 1e-6;
    }
  const double whole = std::floor(columns * shortest / bars.end + 1e-9);
  return multiples && whole >= 1 ? whole / shortest : columns / bars.end;
}

// Labels with the stage only where most bars have room for them: mixed, "10F" could be either of two bars.
bool stages_fit(const Plan& plan, const Bars& bars, double scale) {
  int64_t fit = 0, all = 0;
  for (const auto& rank : bars.ranks)
    for (const Bar& bar : rank) {
      ++all;
      fit += std::floor((bar.end - bar.begin) * scale + 1e-9) >=
             static_cast<double>(labels_of(plan, bar.action).front().size());
    }
  return 4 * fit >= 3 * all;
}

std::string block(const Plan& plan, const Action& action, size_t width, bool with_stage) {
  auto labels = labels_of(plan, action);
  if (!plan.shape.placement.is_one_each() && !with_stage) labels.erase(labels.begin());
  for (std::string& label : labels) {
    if (label.size() > width) continue;
    label.resize(width, '-');
    return label;
  }
  return "";
}

std::string rank_label(size_t rank, size_t ranks) {
  const size_t width = std::to_string(ranks - 1).size();
  const std::string number = std::to_string(rank);
  return "rank " + std::string(width - number.size(), ' ') + number + " |";
}

}  // namespace

std::string timeline_text(const Plan& plan, const Simulation& simulation, const TimeUnit& unit, int columns) {
  const Bars bars = bars_of(plan, simulation);
  if (bars.end <= 0) return "";
  const size_t margin = rank_label(0, bars.ranks.size()).size();
  const int room = std::max(10, columns - static_cast<int>(margin) - 1);
  const double scale = text_scale(bars, room);
  const bool with_stage = stages_fit(plan, bars, scale);
  const auto column = [&](double time) { return static_cast<size_t>(std::llround(time * scale)); };

  std::string text;
  for (size_t rank = 0; rank < bars.ranks.size(); ++rank) {
    std::string line(column(bars.end), '.');
    for (const Bar& bar : bars.ranks[rank]) {
      const size_t begin = column(bar.begin), width = column(bar.end) - begin;
      line.replace(begin, width, block(plan, bar.action, width, with_stage));
    }
    text += rank_label(rank, bars.ranks.size()) + line + "|\n";
  }
  const std::string last = unit.text(bars.end);
  std::string axis(margin, ' ');
  axis += '0';
  const size_t end = margin + column(bars.end);
  if (end > axis.size() + last.size()) axis.append(end - axis.size() - last.size(), ' ');
  return text + axis + last + "\n";
}

}  // namespace interlock
