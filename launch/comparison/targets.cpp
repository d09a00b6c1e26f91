#include "launch/comparison/targets.h"

#include <algorithm>
#include <limits>

namespace interlock {
namespace {

std::optional<double> mean_loss_at(const GroupOutcome& group, double step) {
  double sum = 0;
  int count = 0;
  for (const ArmOutcome* arm : group.done())
    if (const auto loss = loss_at(arm->curve(), step)) {
      sum += *loss;
      ++count;
    }
  return count > 0 ? std::optional(sum / count) : std::nullopt;
}

const GroupOutcome* reference_at(const Outcome& outcome, int stages) {
  if (const GroupOutcome* global = outcome.global_at(stages)) return global;
  const auto first =
      std::ranges::find_if(outcome.groups, [&](const GroupOutcome& group) { return group.group.stages == stages; });
  return first == outcome.groups.end() ? nullptr : &*first;
}

TargetRow row_of(const Outcome& outcome, size_t index, double target) {
  const GroupOutcome& group = outcome.groups[index];
  TargetRow row{.group = index, .target = target};
  double steps = 0;
  for (const ArmOutcome* arm : group.done()) {
    ++row.seeds;
    if (const auto step = step_reaching(arm->curve(), target)) {
      ++row.reached;
      steps += *step;
    }
  }
  if (row.reached == 0) return row;
  row.steps = steps / row.reached;
  row.measured_seconds = *row.steps * measured_step(group);
  row.flops = *row.steps * group.flops_of_step;
  if (group.cost) row.simulated_seconds = *row.steps * group.simulated_step();
  return row;
}

// The least that a group of so many stages spends in all its steps; endless where a group's cost is not known.
double cheapest(const Outcome& outcome, int stages, double (*cost)(const GroupOutcome&)) {
  double least = std::numeric_limits<double>::infinity();
  for (const GroupOutcome& group : outcome.groups)
    if (group.group.stages == stages && !group.done().empty() && cost(group) > 0)
      least = std::min(least, cost(group) * static_cast<double>(outcome.steps));
  return least;
}

}  // namespace

double measured_step(const GroupOutcome& group) {
  return group
      .mean_of([](const ArmOutcome& arm) { return arm.run->seconds() / static_cast<double>(arm.run->rows.size()); })
      .value_or(0);
}

double planned_mib(const GroupOutcome& group) { return group.cost ? group.cost->peak_mib : 0; }

std::vector<CostAndLoss> group_front(const Outcome& outcome, int stages, double (*cost)(const GroupOutcome&)) {
  const std::vector<SeedStatistics> all = outcome.statistics();
  std::vector<CostAndLoss> points;
  for (size_t i = 0; i < all.size(); ++i)
    if (outcome.groups[i].group.stages == stages && all[i].mean && cost(outcome.groups[i]) > 0)
      points.push_back({i, cost(outcome.groups[i]), *all[i].mean});
  return front_of(std::move(points));
}

std::vector<double> targets_at(const Outcome& outcome, int stages) {
  std::vector<double> targets;
  const GroupOutcome* reference = reference_at(outcome, stages);
  if (reference == nullptr) return targets;
  for (const double share : {0.5, 0.75, 1.0})
    if (const auto loss = mean_loss_at(*reference, share * static_cast<double>(outcome.steps)))
      targets.push_back(*loss);
  return targets;
}

std::vector<TargetRow> target_rows(const Outcome& outcome) {
  std::vector<TargetRow> rows;
  for (const int stages : outcome.stage_counts())
    for (const double target : targets_at(outcome, stages))
      for (size_t i = 0; i < outcome.groups.size(); ++i)
        if (outcome.groups[i].group.stages == stages) rows.push_back(row_of(outcome, i, target));
  return rows;
}

std::vector<FrameRow> frame_rows(const Outcome& outcome) {
  const auto flops = [](const GroupOutcome& group) { return group.flops_of_step; };
  const auto simulated = [](const GroupOutcome& group) { return group.simulated_step(); };
  std::vector<FrameRow> rows;
  for (size_t i = 0; i < outcome.groups.size(); ++i) {
    const GroupOutcome& group = outcome.groups[i];
    const int stages = group.group.stages;
    const auto within = [&](double (*cost)(const GroupOutcome&)) -> std::optional<double> {
      const double own = cost(group), budget = cheapest(outcome, stages, cost);
      if (own <= 0 || budget == std::numeric_limits<double>::infinity()) return std::nullopt;
      return mean_loss_at(group, std::min(static_cast<double>(outcome.steps), budget / own));
    };
    rows.push_back({i, mean_loss_at(group, static_cast<double>(outcome.steps)), within(flops), within(measured_step),
                    within(simulated)});
  }
  return rows;
}

}  // namespace interlock
