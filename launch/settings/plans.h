#pragma once
// What a run's settings ask of its plans. (The plans themselves: launch/forecast/run_plans.h.)

#include <vector>

#include "launch/settings/run_settings.h"
#include "parallel/plan/plan.h"

namespace interlock {

class Model;

// Rule number `change` as the config asks for it, with the stages that have nothing to train under model.frozen.
RuleRequest rule_request(const RunSettings& settings, const Model& model, size_t change = 0);

// The plan of rule number `change` (index into learning.rules), at the full number of microbatches.
PlanRequest plan_request(const RunSettings& settings, const Model& model, size_t change = 0);

// The run from `at_step` on, until the next phase: one of its rules, and a number of microbatches per replica.
struct RunPhase {
  int64_t at_step = 1;
  size_t rule = 0;  // index into learning.rules
  int microbatches = 1;
};
// By step, the first at 1: one for every change of the rule or of the batch.
std::vector<RunPhase> phases_of(const RunSettings& settings);

// Which stages' bodies learn in some step: under one of the run's rules, and with parameters that train. The others
// have no gradient and no optimizer state.
std::vector<bool> stages_that_learn(const RunSettings& settings, const Model& model);

// Which stages have a head: those that a rule of one of the run's steps teaches through their own loss, and the last. A
// change of rule that comes after the last step builds none.
std::vector<bool> stages_with_heads(const RunSettings& settings, const Model& model);

// Error(config), naming the key: a change of rule or batch that begins behind the last step would never come, and
// nobody would notice. A run of 0 steps, which writes start values, has none that could.
void check_steps_of_changes(const RunSettings& settings);

}  // namespace interlock
