#include "launch/forecast/run_plans.h"

#include <algorithm>
#include <set>

#include "launch/forecast/estimate.h"
#include "launch/forecast/memory_footprint.h"
#include "launch/settings/key_place.h"
#include "launch/settings/parts.h"
#include "launch/settings/plans.h"
#include "parallel/plan/schedule.h"

namespace interlock {

SimulationCosts costs_to_choose_by(const RunSettings& settings, const Model& model, const LearningRule& rule) {
  RunSettings of_config = settings;
  if (settings.parallel.threads_by_machine) of_config.parallel.threads = 1;
  return estimate_costs(of_config, model, make_partition(settings, model), derive_flows(rule, settings.learning.heads));
}

ScheduleChoice choose_plan(const RunSettings& settings, const Model& model, const PlanRequest& request,
                           const SimulationCosts& costs) {
  MemoryLimit memory;
  memory.bytes = static_cast<double>(settings.parallel.memory_mib) * (1 << 20);
  if (memory.bytes > 0) memory.besides = bytes_beside_plans(settings, model, make_partition(settings, model));
  return placing_key(settings.config, [&] {
    // What leaves no choice needs no simulation.
    if (request.schedule != auto_schedule && memory.bytes == 0)
      return ScheduleChoice{.plan = make_plan(request),
                            .candidates = {},
                            .refused = {},
                            .judged_microbatches = request.shape.microbatches};
    return choose_schedule(request, costs, memory);
  });
}

std::vector<TrainerSettings::RulePlan> make_plans(const RunSettings& settings, const Model& model) {
  std::vector<TrainerSettings::RulePlan> plans;
  for (const RunPhase& phase : phases_of(settings)) {
    PlanRequest request = plan_request(settings, model, phase.rule);
    request.shape.microbatches = phase.microbatches;
    const SimulationCosts costs = costs_to_choose_by(settings, model, request.rule);
    plans.push_back({phase.at_step, choose_plan(settings, model, request, costs).plan});
  }
  return plans;
}

std::vector<const Plan*> plans_of_steps(const std::vector<TrainerSettings::RulePlan>& plans, int64_t steps) {
  std::vector<const Plan*> found;
  for (const auto& [at_step, plan] : plans)
    if (at_step <= std::max<int64_t>(1, steps)) found.push_back(&plan);
  return found;
}

}  // namespace interlock
