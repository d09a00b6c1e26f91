// Links of a given bandwidth, put into the transport: what a step takes over them, measured.

#include "launch/comparison/comparison.h"
#include "launch/comparison/runner.h"
#include "launch/page/markup.h"
#include "runtime/core/error.h"

namespace interlock {

// Ranks, placement and schedule are those of the arms that are compared; ranks that hold all stages have no links.
std::vector<Arm> Comparison::link_arms(const RuleGroup& group) const {
  std::vector<Arm> arms;
  if (ranks_for(settings_, group.stages) == 1) return arms;
  for (const double bandwidth : request_.links)
    arms.push_back(make_arm(
        base_, group, message("link-", arms.size() + 1), settings_.seed, learning_rate_of(settings_), request_.output,
        {message("run.steps=", costing_steps()), "run.evaluate_every=0", "run.patience=0", "run.keep_best=none",
         "checkpoint.every=0", "parallel.link_bandwidth=" + exact_number(bandwidth)}));
  return arms;
}

void Comparison::sweep_links(ArmRunner& runner, GroupOutcome& group, std::vector<std::string>& notes) {
  const std::vector<Arm> arms = link_arms(group.group);
  for (size_t i = 0; i < arms.size(); ++i) {
    const bool done = runner.perform(arms[i]) == ArmStatus::done;
    if (const auto step = done ? steady_step(read_run(arms[i].folder)) : std::nullopt) {
      group.by_slowed_link.emplace_back(request_.links[i], *step);
    } else {
      notes.push_back(message(group.group.label(), ", ", group.group.stages, " stages, over links of ",
                              significant(request_.links[i]), " bytes/s: not measured; ",
                              done ? "its run was too short" : reason_of(arms[i]), "."));
    }
  }
}

}  // namespace interlock
