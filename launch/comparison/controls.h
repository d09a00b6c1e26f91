#pragma once
// Groups that a sceptic asks for beside the rules (--controls): whether a gain is the rule's at all.

#include "launch/comparison/groups.h"

namespace interlock {

// Adds, for every number of stages above 1: `frozen_lower`, global with the lower half of the stages as they started;
// `global_heads`, global with local heads that learn but teach nobody; chunked:2 and deep_supervision:0.3 where the
// rules lack them. What does not fit is left out with a sentence.
void add_controls(Groups& groups, const RunSettings& base, const std::vector<RuleWord>& rules,
                  const std::vector<std::string>& heads, const std::vector<int>& stages);

}  // namespace interlock
