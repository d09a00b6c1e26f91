// What a comparison would do, before it does it.

#include <ostream>

#include "launch/comparison/comparison.h"
#include "launch/comparison/machine.h"
#include "launch/page/markup.h"
#include "runtime/core/error.h"

namespace interlock {

// Runs that only measure what a step takes.
int64_t Comparison::planned_costs(const RuleGroup& group) const {
  return (group.is_global() ? std::ssize(ways_of_global()) : 1) + std::ssize(link_arms(group));
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

void Comparison::list(std::ostream& out) const {
  const int64_t arms = planned_arms();
  const RuleGroup& first = groups_.all.front();
  open_data(settings_of(base_, first.overrides), first);
  double flops = 0, done_flops = 0, done_seconds = 0;
  int64_t done = 0;
  out << "Arms of the comparison in " << request_.output << "\n";
  for (const RuleGroup& group : groups_.all) {
    const double step = flops_of_step(settings_of(base_, group.overrides));
    const int64_t trials = request_.tune > 1 ? request_.tune : 0;
    const double all = step * static_cast<double>(settings_.steps * (trials + request_.seeds));
    flops += all;
    out << "  " << group.label() << ", " << group.stages << " stages: " << request_.seeds
        << (request_.seeds == 1 ? " seed" : " seeds") << (trials > 0 ? message(", ", trials, " learning rates") : "")
        << (link_arms(group).empty() ? "" : message(", ", request_.links.size(), " short runs over slowed links"))
        << ", " << significant(step) << "FLOP a step, " << significant(all) << "FLOP in all\n";
    for (const Arm& arm : trial_arms(group))
      if (status_of(arm) == ArmStatus::done) {
        ++done;
        done_flops += step * static_cast<double>(arm.steps);
        done_seconds += read_run(arm.folder).seconds();
      }
  }
  for (const std::string& sentence : groups_.left_out) out << "  left out: " << sentence << "\n";
  out << arms << " runs of " << settings_.steps << " steps (those that only measure costs are shorter), " << done
      << " of the search done already\n";
  if (done_flops > 0) {
    out << "About " << duration(flops / done_flops * done_seconds) << " at the speed of the runs that are done\n";
  } else {
    const double speed = 50e9 * machine_cores();
    out << "At least " << duration(flops / speed) << " at 50 Gflop/s on each of " << machine_cores()
        << " cores; small models and short runs take several times as long\n";
  }
}

}  // namespace interlock
