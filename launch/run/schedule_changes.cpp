#include "launch/run/schedule_changes.h"

#include <vector>

#include "parallel/plan/learning_rule.h"
#include "runtime/core/error.h"
#include "runtime/core/nearest_name.h"
#include "runtime/optimization/learning_rate.h"

namespace interlock {
namespace {

LearningRate rate_of(const RunSettings& settings) {
  return LearningRate(LearningRate::Config::from(settings.config.section("optimizer"), settings.steps));
}

int64_t samples_at(const RunSettings& settings, int64_t step) {
  int64_t microbatches = settings.parallel.shape.microbatches;
  for (const BatchPhase& phase : settings.parallel.batch.phases)
    if (phase.at_step <= step) microbatches = phase.microbatches;
  return microbatches * settings.parallel.batch.microbatch_size * settings.parallel.shape.replicas;
}

std::string rule_at(const RunSettings& settings, int64_t step) {
  const RuleRequest* request = nullptr;
  for (const LearningSettings::RuleChange& change : settings.learning.rules)
    if (change.at_step <= step) request = &change.request;
  return make_rule(*request, settings.parallel.shape.stages).name;
}

}  // namespace

std::string schedule_changes(const RunSettings& before, const RunSettings& now, int64_t done) {
  const int64_t next = done + 1;
  if (next > now.steps) return "";
  std::vector<std::string> changes;
  const double rate_before = rate_of(before).at(next), rate = rate_of(now).at(next);
  const double last_before = rate_of(before).at(before.steps), last = rate_of(now).at(now.steps);
  const bool was_over = next > before.steps;
  if (was_over || rate_before != rate || last_before != last || before.steps != now.steps)
    changes.push_back(message("learning rate of step ", next, " ",
                              was_over ? std::string("(which it did not have)") : message(rate_before), " -> ", rate,
                              ", of the last step ", last_before, " (step ", before.steps, ") -> ", last, " (step ",
                              now.steps, ")"));
  if (const int64_t then = samples_at(before, next), samples = samples_at(now, next); then != samples)
    changes.push_back(message("samples per step ", then, " -> ", samples));
  if (const std::string then = rule_at(before, next), rule = rule_at(now, next); then != rule)
    changes.push_back("rule " + then + " -> " + rule);
  return changes.empty() ? "" : message("from step ", next, " on: ", join(changes, "; "));
}

std::string phase_text(int64_t step, const Plan& before, const Plan& now) {
  std::vector<std::string> changes;
  if (before.rule.name != now.rule.name || before.rule.weights != now.rule.weights)
    changes.push_back(message("rule ", now.rule.name, " (before: ", before.rule.name, ")"));
  if (before.shape.microbatches != now.shape.microbatches)
    changes.push_back(
        message(now.shape.microbatches, " microbatches per replica (before: ", before.shape.microbatches, ")"));
  return changes.empty() ? "" : message("step ", step, ": ", join(changes, ", "));
}

}  // namespace interlock
