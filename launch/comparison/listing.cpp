// What a comparison would do, before it does it.

#include <algorithm>
#include <optional>
#include <ostream>

#include "launch/comparison/comparison.h"
#include "launch/comparison/machine.h"
#include "launch/page/markup.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

// Of the longest of these runs that is done; it holds its evaluations.
std::optional<double> seconds_of_step(const std::vector<Arm>& arms) {
  const Arm* longest = nullptr;
  for (const Arm& arm : arms)
    if (status_of(arm) == ArmStatus::done && (longest == nullptr || arm.steps > longest->steps)) longest = &arm;
  if (longest == nullptr || longest->steps == 0) return std::nullopt;
  return read_run(longest->folder).seconds() / static_cast<double>(longest->steps);
}

}  // namespace

// Runs that only measure what a step takes.
int64_t Comparison::planned_costs(const RuleGroup& group) const {
  return (group.is_global() ? std::ssize(ways_of_global()) : 1) + std::ssize(link_arms(group)) +
         std::ssize(microbatch_arms(group));
}

int64_t Comparison::planned_arms() const {
  int64_t arms = 0;
  for (const RuleGroup& group : groups_.all)
    arms += request_.seeds + (request_.tune > 1 ? request_.tune : 0) + planned_costs(group);
  return arms;
}

int64_t Comparison::planned_steps() const {
  int64_t steps = 0;
  for (const RuleGroup& group : groups_.all) {
    steps += (request_.seeds + (request_.tune > 1 ? request_.tune : 0)) * settings_.steps +
             planned_costs(group) * costing_steps();
  }
  return steps;
}

// What a search finds, and what global is best at, nobody knows before; the runs at it are not among these.
std::vector<Arm> Comparison::runs_at_known_rates(const RuleGroup& group) const {
  return request_.tune > 1 ? trial_arms(group) : seed_arms(group, learning_rate_of(settings_));
}

// Seconds; nothing before a run of this rule is done.
std::optional<double> Comparison::timed_step(const RuleGroup& group) const {
  if (const auto seconds = seconds_of_step(runs_at_known_rates(group))) return seconds;
  const Arm costs =
      group.is_global() ? costs_arm(group, "costs-1", ways_of_global().front()) : costs_arm(group, "costs", {});
  auto seconds = seconds_of_step({costs});
  // One rank held all stages there.
  if (seconds) *seconds /= std::min(settings_of(base_, group.overrides).parallel.shape.ranks, machine_cores());
  return seconds;
}

void Comparison::list(std::ostream& out) const {
  const int64_t arms = planned_arms();
  const RuleGroup& first = groups_.all.front();
  open_data(settings_of(base_, first.overrides), first);
  double flops = 0, known_flops = 0, seconds = 0;  // known: of rules whose steps were timed
  int64_t done = 0;
  const int cores = machine_cores();
  out << "Arms of the comparison in " << request_.output << "\n";
  for (const RuleGroup& group : groups_.all) {
    const double step = flops_of_step(settings_of(base_, group.overrides));
    const int64_t trials = request_.tune > 1 ? request_.tune : 0;
    double steps = static_cast<double>(settings_.steps * (trials + request_.seeds) +
                                       costing_steps() * std::ssize(link_arms(group)));
    if (!microbatch_arms(group).empty())
      for (const int number : request_.microbatches)
        steps += static_cast<double>(costing_steps()) * number / settings_.parallel.shape.microbatches;
    const double all = step * steps;
    flops += all;
    out << "  " << group.label() << ", " << group.stages << " stages: " << request_.seeds
        << (request_.seeds == 1 ? " seed" : " seeds") << (trials > 0 ? message(", ", trials, " learning rates") : "")
        << (link_arms(group).empty() ? "" : message(", ", request_.links.size(), " short runs over slowed links"))
        << (microbatch_arms(group).empty()
                ? ""
                : message(", ", request_.microbatches.size(), " short runs with other numbers of microbatches"))
        << ", " << significant(step) << "FLOP a step, " << significant(all) << "FLOP in all\n";
    const std::vector<Arm> runs = runs_at_known_rates(group);
    done += std::ranges::count_if(runs, [](const Arm& arm) { return status_of(arm) == ArmStatus::done; });
    const std::optional<double> step_seconds = timed_step(group);
    if (!step_seconds) continue;
    known_flops += all;
    seconds += *step_seconds * steps;
  }
  for (const std::string& sentence : groups_.left_out) out << "  left out: " << sentence << "\n";
  out << arms << " runs of " << settings_.steps << " steps (those that only measure costs are shorter), " << done
      << (request_.tune > 1 ? " of the search" : " of those whose settings are known by now") << " done already\n";
  if (known_flops > 0) {
    out << "About " << duration(flops / known_flops * seconds) << " in all, by the runs that are done\n";
  } else {
    out << "At least " << duration(flops / (50e9 * cores)) << " at 50 Gflop/s on each of " << cores
        << " cores; small models and short runs take several times as long\n";
  }
}

}  // namespace interlock
