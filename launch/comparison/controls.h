#pragma once
// Groups that a sceptic asks for beside the rules (--controls): whether a gain is the rule's at all.

#include <functional>

#include "launch/comparison/groups.h"

namespace interlock {

// What a group of these overrides of the base would be: operations of a step. Error(config) where they do not fit.
using FlopsOf = std::function<double(const std::vector<std::string>& overrides)>;

// Adds, for every number of stages above 1: `frozen_lower`, global with the lower half of the stages as they started;
// `global_heads`, global with local heads that learn but teach nobody; `local_deeper:N`, local with so many layers that
// its step costs as much as that of the costliest rule compared, so that what is gained by more work shows; chunked:2
// and deep_supervision:0.3 where the rules lack them. What does not fit is left out with a sentence.
void add_controls(Groups& groups, const RunSettings& base, const std::vector<RuleWord>& rules,
                  const std::vector<std::string>& heads, const std::vector<int>& stages, const FlopsOf& flops_of);

}  // namespace interlock
