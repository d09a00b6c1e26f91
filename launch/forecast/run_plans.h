#pragma once
// The plans that a run goes through, and how their schedules are chosen.

#include <vector>

#include "launch/settings/run_settings.h"
#include "parallel/plan/auto_schedule.h"
#include "parallel/training/trainer.h"

namespace interlock {

class Model;

// What schedules are chosen by: the estimate of estimate.h, for as many threads as the config says (one, where it
// leaves that to the machine). It depends on the config alone, so all ranks choose the same.
SimulationCosts costs_to_choose_by(const RunSettings& settings, const Model& model, const LearningRule& rule);

// A plan of the run by the schedule that its settings ask for, within parallel.memory_mib. Error(config) with the place
// of the key.
ScheduleChoice choose_plan(const RunSettings& settings, const Model& model, const PlanRequest& request,
                           const SimulationCosts& costs);

// Proved plans of a run: one for every step at which its rule or its number of microbatches changes.
std::vector<TrainerSettings::RulePlan> make_plans(const RunSettings& settings, const Model& model);

// Of these, the plans that a run of so many steps comes to.
std::vector<const Plan*> plans_of_steps(const std::vector<TrainerSettings::RulePlan>& plans, int64_t steps);

}  // namespace interlock
