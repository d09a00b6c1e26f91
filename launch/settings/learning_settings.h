#pragma once
// [learning]: the rule, how it changes, and the heads that it reads losses from.

#include <string>
#include <vector>

#include "parallel/plan/plan.h"
#include "runtime/core/config.h"

namespace interlock {

struct LearningSettings {
  struct RuleChange {
    int64_t at_step = 1;
    RuleRequest request;
  };
  std::vector<RuleChange> rules;  // [learning] first, then [[learning.change]] by step
  HeadPolicy heads = HeadPolicy::needed;
  std::string head_kind = "linear";
  int64_t refresh_every = 10;  // steps between copies of the readout (shared_readout)

  static LearningSettings from(const Section& learning);
};

}  // namespace interlock
