// A few steps for every point of a sweep, measured: over links of a given bandwidth, put into the transport, and with
// other numbers of microbatches.

#include <algorithm>
#include <set>

#include "launch/comparison/comparison.h"
#include "launch/comparison/runner.h"
#include "launch/page/markup.h"
#include "runtime/core/error.h"

namespace interlock {

// Ranks, placement and schedule are those of the arms that are compared.
Arm Comparison::short_arm(const RuleGroup& group, const std::string& what, const std::string& varied) const {
  return make_arm(base_, group, what, settings_.seed, learning_rate_of(settings_), request_.output,
                  {message("run.steps=", costing_steps()), "run.evaluate_every=0", "run.patience=0",
                   "run.keep_best=none", "checkpoint.every=0", varied});
}

// Ranks that hold all stages have no links, and wait for nobody however many microbatches there are.
bool Comparison::has_boundaries(const RuleGroup& group) const { return ranks_for(settings_, group.stages) > 1; }

void Comparison::note_idle_sweeps() {
  if (request_.links.empty() && request_.microbatches.empty()) return;
  std::set<int> stages;
  for (const RuleGroup& group : groups_.all)
    if (!has_boundaries(group)) stages.insert(group.stages);
  for (const int number : stages)
    groups_.left_out.push_back(message("--links and --microbatches at ", number, number == 1 ? " stage" : " stages",
                                       ": one rank holds all of it (parallel.ranks) and waits for nobody."));
}

std::vector<Arm> Comparison::link_arms(const RuleGroup& group) const {
  std::vector<Arm> arms;
  if (!has_boundaries(group)) return arms;
  for (const double bandwidth : request_.links)
    arms.push_back(
        short_arm(group, message("link-", arms.size() + 1), "parallel.link_bandwidth=" + exact_number(bandwidth)));
  return arms;
}

std::vector<Arm> Comparison::microbatch_arms(const RuleGroup& group) const {
  std::vector<Arm> arms;
  if (!has_boundaries(group)) return arms;
  for (const int number : request_.microbatches)
    arms.push_back(short_arm(group, message("microbatches-", number), message("parallel.microbatches=", number)));
  return arms;
}

// Seconds of a step, where it could be measured; else a note says why not.
std::optional<double> Comparison::measured_step(ArmRunner& runner, const Arm& arm, const std::string& where,
                                                std::vector<std::string>& notes) const {
  const bool done = runner.perform(arm) == ArmStatus::done;
  if (const auto step = done ? steady_step(read_run(arm.folder)) : std::nullopt) return step;
  notes.push_back(message(arm.group.label(), ", ", arm.group.stages, " stages, ", where, ": not measured; ",
                          done ? "its run was too short" : reason_of(arm), "."));
  return std::nullopt;
}

void Comparison::sweep_links(ArmRunner& runner, GroupOutcome& group, std::vector<std::string>& notes) const {
  const std::vector<Arm> arms = link_arms(group.group);
  for (size_t i = 0; i < arms.size(); ++i) {
    const double bandwidth = request_.links[i];
    const std::string where = message("over links of ", significant(bandwidth), " bytes/s");
    if (const auto step = measured_step(runner, arms[i], where, notes))
      group.by_slowed_link.emplace_back(bandwidth, *step);
  }
}

void Comparison::sweep_microbatches(ArmRunner& runner, const RuleGroup& as_configured, GroupOutcome& group,
                                    std::vector<std::string>& notes) const {
  const std::vector<Arm> arms = microbatch_arms(as_configured);
  for (size_t i = 0; i < arms.size(); ++i) {
    const int number = request_.microbatches[i];
    if (const auto step = measured_step(runner, arms[i], message("with ", number, " microbatches"), notes))
      group.measured_by_microbatches.emplace_back(number, *step);
  }
}

// By powers of two up to four times the config's number, and wherever it is measured.
void Comparison::simulate_microbatches(const RuleGroup& as_configured, GroupOutcome& group) const {
  if (!has_boundaries(as_configured) || settings_.config.section("parallel").has("batch_change")) return;
  std::set<int> numbers(request_.microbatches.begin(), request_.microbatches.end());
  for (int number = 1; number <= 4 * settings_.parallel.shape.microbatches; number *= 2) numbers.insert(number);
  const Arm costs = group.group.is_global() ? costs_arm(as_configured, "costs-1", ways_of_global().front())
                                            : costs_arm(as_configured, "costs", {});
  std::string why;
  const auto plain = replayed(settings_of(base_, as_configured.overrides), costs.folder, why);
  if (!plain) return;
  for (const int number : numbers) {
    std::vector<std::string> overrides = as_configured.overrides;
    overrides.push_back(message("parallel.microbatches=", number));
    try {
      const double step = simulated_step(settings_of(base_, overrides), costs.folder);
      group.simulated_by_microbatches.emplace_back(number, step * plain->calibration);
    } catch (const Error&) {  // no such step can be planned: so many do not fit into parallel.memory_mib, for one
    }
  }
}

}  // namespace interlock
