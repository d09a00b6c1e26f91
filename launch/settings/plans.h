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

// Which stages' bodies learn in some step: under one of the run's rules, and with parameters that train. The others
// have no gradient and no optimizer state.
std::vector<bool> stages_that_learn(const RunSettings& settings, const Model& model);

// Which stages have a head: those that a rule of one of the run's steps teaches through their own loss, and the last. A
// change of rule that comes after the last step builds none.
std::vector<bool> stages_with_heads(const RunSettings& settings, const Model& model);

}  // namespace interlock
