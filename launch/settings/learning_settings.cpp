#include "launch/settings/learning_settings.h"

#include "launch/settings/small_integers.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

// The keys of a rule. Whether they fit the network is for make_rule to say, and only for the keys that the rule reads.
RuleRequest read_rule(const Section& section, const RuleRequest& fallback) {
  RuleRequest request;
  request.rule = section.one_of("rule", fallback.rule, rule_names());
  request.horizon = small_integer(section, "horizon", fallback.horizon);
  request.window = small_integer(section, "window", fallback.window);
  request.weight = section.number("weight", fallback.weight);
  request.matrix = section.matrix("matrix", fallback.matrix);
  request.frozen = small_integers(section, "frozen", fallback.frozen, 0);
  return request;
}

// [learning], then each [[learning.change]]: a key that a change leaves out keeps the value it had before.
std::vector<LearningSettings::RuleChange> read_rules(const Section& learning) {
  std::vector<LearningSettings::RuleChange> rules{{1, read_rule(learning, {})}};
  for (const Section& change : learning.sections("change")) {
    if (!change.has("at_step")) change.refuse("at_step", "is needed: the first step under this rule, 2 or later");
    const int64_t at_step = change.integer("at_step", 2, 2);
    if (at_step <= rules.back().at_step)
      change.refuse("at_step",
                    message(at_step, " does not come after step ", rules.back().at_step, " of the change before it"));
    rules.push_back({at_step, read_rule(change, rules.back().request)});
  }
  return rules;
}

}  // namespace

LearningSettings LearningSettings::from(const Section& learning) {
  LearningSettings settings;
  settings.rules = read_rules(learning);
  settings.heads =
      learning.one_of("heads", "needed", {"needed", "all"}) == "all" ? HeadPolicy::all : HeadPolicy::needed;
  settings.head_kind = learning.text("head", "linear");
  settings.refresh_every = learning.integer("refresh_every", 10, 1);
  return settings;
}

}  // namespace interlock
