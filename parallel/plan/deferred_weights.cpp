#include "parallel/plan/deferred_weights.h"

namespace interlock {

DeferredWeights::DeferredWeights(const Flows& flows, int microbatches, std::span<const std::vector<Action>> lists)
    : microbatches_(microbatches), deferred_(static_cast<int64_t>(flows.stages.size()) * microbatches, false) {
  for (const StageFlow& flow : flows.stages) joint_.push_back(flow.learns ? flow.joint : -1);
  std::vector<bool> taught(deferred_.size(), false);
  for (const std::vector<Action>& list : lists) {
    for (const Action& action : list) {
      if (action.kind != Kind::input_gradient && action.kind != Kind::weight_gradient) continue;
      const int64_t place = int64_t{action.stage} * microbatches_ + action.microbatch;
      if (action.kind == Kind::weight_gradient) {
        taught[place] = true;
      } else if (action.stream == joint_[action.stage] && !taught[place]) {
        deferred_[place] = true;
      }
    }
  }
}

std::vector<WeightPasses> weight_passes(const Plan& plan) {
  const DeferredWeights deferred(plan);
  std::vector<WeightPasses> passes(plan.shape.stages);
  for (const std::vector<Action>& list : plan.ranks) {
    for (const Action& action : list) {
      if (action.kind != Kind::weight_gradient) continue;
      ++passes[action.stage].all;
      if (deferred.is_deferred(action)) ++passes[action.stage].deferred;
    }
  }
  return passes;
}

int64_t unit_cost(Kind kind, bool deferred) {
  if (kind == Kind::loss) return 0;
  return kind == Kind::forward || kind == Kind::input_gradient || deferred ? 1 : 2;
}

}  // namespace interlock
