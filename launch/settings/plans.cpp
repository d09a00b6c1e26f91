#include "launch/settings/plans.h"

#include <algorithm>
#include <cassert>
#include <set>

#include "launch/settings/key_place.h"

namespace interlock {

PlanRequest plan_request(const RunSettings& settings, size_t change) {
  assert(change < settings.rules.size());
  PlanRequest request;
  request.shape = settings.shape;
  const auto rule = [&] { return make_rule(settings.rules[change].request, settings.shape.stages); };
  request.rule = placing_key(settings.config, rule, change);
  request.heads = settings.heads;
  request.schedule = settings.schedule;
  request.tied = settings.tied();
  if (request.tied && settings.clip > 0 && settings.clip_scope == "stage")
    settings.config.section("optimizer")
        .refuse("clip_scope",
                "cannot be \"stage\" with tied embeddings: first and last stage would clip the tensor they "
                "share by different norms; use \"auto\" or \"model\"");
  // Tied embeddings make every step flush, so a norm over the model costs no further waiting.
  const bool together = request.tied || couples_all_stages(request.rule);
  request.norm_over_model =
      settings.clip > 0 && (settings.clip_scope == "model" || (settings.clip_scope == "auto" && together));
  return request;
}

std::vector<TrainerSettings::RulePlan> make_plans(const RunSettings& settings) {
  std::set<int64_t> changes{1};
  for (const auto& rule : settings.rules) changes.insert(rule.at_step);
  for (const BatchPhase& phase : settings.phases) changes.insert(phase.at_step);
  std::vector<TrainerSettings::RulePlan> plans;
  for (const int64_t step : changes) {
    size_t rule = 0;
    while (rule + 1 < settings.rules.size() && settings.rules[rule + 1].at_step <= step) ++rule;
    PlanRequest request = plan_request(settings, rule);
    for (const BatchPhase& phase : settings.phases)
      if (phase.at_step <= step) request.shape.microbatches = static_cast<int>(phase.microbatches);
    plans.push_back({step, make_plan(request)});
  }
  return plans;
}

std::vector<bool> stages_with_heads(const RunSettings& settings) {
  std::vector<bool> with(settings.shape.stages, false);
  with.back() = true;
  for (size_t i = 0; i < settings.rules.size(); ++i) {
    if (i > 0 && settings.rules[i].at_step > std::max<int64_t>(1, settings.steps)) continue;
    const Flows flows = derive_flows(plan_request(settings, i).rule, settings.heads);
    for (int stage = 0; stage < settings.shape.stages; ++stage)
      if (flows.stages[stage].has_loss) with[stage] = true;
  }
  return with;
}

}  // namespace interlock
