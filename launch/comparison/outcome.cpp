#include "launch/comparison/outcome.h"

#include <algorithm>
#include <set>

#include "runtime/core/error.h"

namespace interlock {

LossCurve ArmOutcome::curve() const {
  LossCurve curve;
  if (!run) return curve;
  for (const MetricsRow& row : run->rows)
    if (row.validation_loss) curve.push_back({static_cast<double>(row.step), *row.validation_loss});
  return curve;
}

std::string ArmOutcome::device() const {
  if (!run || !run->manifest.is_object()) return "";
  const auto said = run->manifest.find("device");
  return said != run->manifest.end() && said->is_string() ? said->get<std::string>() : "";
}

std::vector<const ArmOutcome*> GroupOutcome::done() const {
  std::vector<const ArmOutcome*> all;
  for (const ArmOutcome& arm : arms)
    if (arm.status == ArmStatus::done) all.push_back(&arm);
  return all;
}

std::optional<double> GroupOutcome::mean_of(double (*value)(const ArmOutcome&)) const {
  const auto all = done();
  if (all.empty()) return std::nullopt;
  double sum = 0;
  for (const ArmOutcome* arm : all) sum += value(*arm) / static_cast<double>(all.size());
  return sum;
}

std::vector<SeedStatistics> Outcome::statistics() const {
  std::vector<SeedLosses> losses;
  for (const GroupOutcome& group : groups) {
    SeedLosses& own =
        losses.emplace_back(SeedLosses{group.group.stages, group.group.is_global(), {}, group.group.control});
    for (const ArmOutcome* arm : group.done())
      if (arm->test) own.losses[arm->arm.seed] = arm->test->loss;
  }
  return statistics_over_seeds(losses);
}

const GroupOutcome* Outcome::global_at(int stages) const {
  const auto found = std::ranges::find_if(
      groups, [&](const GroupOutcome& group) { return group.group.is_global() && group.group.stages == stages; });
  return found == groups.end() ? nullptr : &*found;
}

std::optional<MeasuredBreakEven> Outcome::measured_break_even_of(const GroupOutcome& group) const {
  const GroupOutcome* global = global_at(group.group.stages);
  if (global == nullptr || global == &group) return std::nullopt;
  return measured_break_even(group.measured_by_microbatches, global->measured_by_microbatches);
}

std::vector<int> Outcome::stage_counts() const {
  std::set<int> counts;
  for (const GroupOutcome& group : groups) counts.insert(group.group.stages);
  return {counts.begin(), counts.end()};
}

std::string Outcome::computed_on() const {
  if (device.starts_with("GPU")) return device.substr(0, device.find(" ("));
  return message("the ", cores, cores == 1 ? " core" : " cores", " of this machine");
}

bool Outcome::any_done() const {
  return std::ranges::any_of(groups, [](const GroupOutcome& group) { return !group.done().empty(); });
}

std::string Outcome::last_reason() const {
  std::string last;
  for (const GroupOutcome& group : groups)
    for (const ArmOutcome& arm : group.arms)
      if (!arm.reason.empty()) last = arm.reason;
  return last;
}

bool Outcome::oversubscribed() const {
  return std::ranges::any_of(stage_counts(), [&](int stages) { return oversubscribed(stages); });
}

bool Outcome::oversubscribed(int stages) const {
  return std::ranges::any_of(groups, [&](const GroupOutcome& group) {
    return group.group.stages == stages && std::ranges::any_of(group.arms, [&](const ArmOutcome& arm) {
             return arm.run && arm.run->number("parallel.ranks", 1) * arm.run->number("parallel.replicas", 1) > cores;
           });
  });
}

}  // namespace interlock
