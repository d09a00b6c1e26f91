#pragma once
// Cuts a model by what each stage really does under a learning rule: a head where a loss runs, a pass to the input for
// every stream that goes on, weight gradients only where something trains.
//
// It looks at the rule and the model alone, not at ranks, schedule, recomputation or microbatches: where and how a run
// is placed must not change where its local heads stand, and so what it learns. So stages are evened out, one by one;
// that makes the busiest rank as fast as can be where each rank holds one stage. Where ranks hold several, their stages
// are as even as stages can be.

#include <string>
#include <vector>

#include "models/costs.h"
#include "parallel/plan/learning_rule.h"

namespace interlock {

struct RulePartition {
  std::vector<Costs> units;  // of the model
  Costs readout;             // on the last stage
  std::vector<Costs>
      heads_above;  // on every other that runs a loss: [i] of one above i + 1 units, for all but the last
  std::vector<RuleRequest>
      rules;  // that a run goes through; their works are added up. `untrained` follows from the cut
  HeadPolicy heads = HeadPolicy::needed;
};

// Units per stage: smallest possible largest stage, then the most even (smallest sum of squares), then the one that
// cuts earliest. Exact also where units are frozen, whose stages train nothing and ask for no stream. Error(config) as
// check_stages and make_rule have it.
std::vector<int> partition_for_rule(const RulePartition& given, int stages, const std::string& words = "blocks");

}  // namespace interlock
