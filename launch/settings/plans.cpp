#include "launch/settings/plans.h"

#include <algorithm>
#include <cassert>
#include <set>

#include "launch/settings/key_place.h"
#include "launch/settings/parts.h"
#include "models/model.h"

namespace interlock {

namespace {

// Stages whose bodies hold no parameter that trains.
std::vector<int> untrained_stages(const RunSettings& settings, const Model& model) {
  const std::vector<Costs> units = model.unit_costs(1);
  std::vector<int> untrained;
  auto unit = units.begin();
  int stage = 0;
  for (const int count : make_partition(settings, model)) {
    if (std::none_of(unit, unit + count, [](const Costs& costs) { return costs.trained() > 0; }))
      untrained.push_back(stage);
    unit += count;
    ++stage;
  }
  return untrained;
}

// The steps of the run under rule number `change`; a change that comes after the last step has none.
bool has_steps(const RunSettings& settings, size_t change) {
  return change == 0 || settings.learning.rules[change].at_step <= std::max<int64_t>(1, settings.steps);
}

}  // namespace

RuleRequest rule_request(const RunSettings& settings, const Model& model, size_t change) {
  RuleRequest request = settings.learning.rules.at(change).request;
  request.untrained = untrained_stages(settings, model);
  return request;
}

PlanRequest plan_request(const RunSettings& settings, const Model& model, size_t change) {
  assert(change < settings.learning.rules.size());
  const ParallelSettings& parallel = settings.parallel;
  PlanRequest request;
  request.shape = parallel.shape;
  const RuleRequest asked = rule_request(settings, model, change);
  const auto rule = [&] { return make_rule(asked, parallel.shape.stages); };
  request.rule = placing_key(settings.config, rule, change);
  request.heads = settings.learning.heads;
  request.schedule = parallel.schedule;
  request.in_flight = parallel.in_flight;
  const auto tie = model.tie();
  request.tied = tie && tie->trained;
  if (request.tied && settings.clip.norm > 0 && settings.clip.scope == "stage")
    settings.config.section("optimizer")
        .refuse("clip_scope",
                "cannot be \"stage\" with tied embeddings: first and last stage would clip the tensor they "
                "share by different norms; use \"auto\" or \"model\"");
  // Tied tensors make every step wait for the whole pipeline, as a rule that couples all stages does: the rule as it
  // would be if all stages trained, since freezing some, by stage or by name, does not change how far a norm goes.
  RuleRequest whole = asked;
  whole.untrained.clear();
  whole.frozen.clear();
  const bool coupled = couples_all_stages(make_rule(whole, parallel.shape.stages));
  request.norm_over_model = settings.clip.over_model(request.tied || coupled);
  return request;
}

std::vector<RunPhase> phases_of(const RunSettings& settings) {
  const auto& rules = settings.learning.rules;
  std::set<int64_t> steps{1};
  for (const auto& rule : rules) steps.insert(rule.at_step);
  for (const BatchPhase& batch : settings.parallel.batch.phases) steps.insert(batch.at_step);
  std::vector<RunPhase> phases;
  for (const int64_t step : steps) {
    RunPhase phase{step, 0, settings.parallel.shape.microbatches};
    while (phase.rule + 1 < rules.size() && rules[phase.rule + 1].at_step <= step) ++phase.rule;
    for (const BatchPhase& batch : settings.parallel.batch.phases)
      if (batch.at_step <= step) phase.microbatches = static_cast<int>(batch.microbatches);
    phases.push_back(phase);
  }
  return phases;
}

void check_steps_of_changes(const RunSettings& settings) {
  if (settings.steps == 0) return;
  for (const auto& [section, key] : {std::pair("learning", "change"), std::pair("parallel", "batch_change")})
    for (const Section& change : settings.config.section(section).sections(key)) {
      const int64_t at_step = change.integer("at_step", std::string(key) == "change" ? 2 : 1);
      if (at_step > settings.steps)
        change.refuse("at_step", message(at_step, " lies behind the last step, run.steps = ", settings.steps,
                                         ", so the change would never come"));
    }
}

std::vector<bool> stages_that_learn(const RunSettings& settings, const Model& model) {
  std::vector<bool> learn(settings.parallel.shape.stages, false);
  for (size_t i = 0; i < settings.learning.rules.size(); ++i) {
    if (!has_steps(settings, i)) continue;
    const Flows flows = derive_flows(plan_request(settings, model, i).rule, settings.learning.heads);
    for (size_t stage = 0; stage < learn.size(); ++stage) learn[stage] = learn[stage] || flows.stages[stage].learns;
  }
  return learn;
}

std::vector<bool> stages_with_heads(const RunSettings& settings, const Model& model) {
  const int stages = settings.parallel.shape.stages;
  const auto& rules = settings.learning.rules;
  std::vector<bool> with(stages, false);
  with.back() = true;
  for (size_t i = 0; i < rules.size(); ++i) {
    if (!has_steps(settings, i)) continue;
    const Flows flows = derive_flows(plan_request(settings, model, i).rule, settings.learning.heads);
    for (int stage = 0; stage < stages; ++stage)
      if (flows.stages[stage].has_loss) with[stage] = true;
  }
  return with;
}

}  // namespace interlock
