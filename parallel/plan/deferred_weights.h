#pragma once
// Which W have only the weight products to do. A stage's teaching gradient may equal one outgoing stream up to a factor
// (StageFlow::joint). Where I of that stream comes before W in the rank's list, I records the (output gradient, input)
// pairs of the linear layers, and W runs their products: I and W walk the body once, as B does. Every other W walks the
// body itself: a stage without such a stream, one whose other streams alone were passed before, W before I.

#include <cstdint>
#include <span>
#include <vector>

#include "parallel/plan/plan.h"

namespace interlock {

class DeferredWeights {
 public:
  // Reads the order of these ranks' lists, and answers for their stages; only I and W matter.
  DeferredWeights(const Flows& flows, int microbatches, std::span<const std::vector<Action>> lists);
  explicit DeferredWeights(const Plan& plan) : DeferredWeights(plan.flows, plan.shape.microbatches, plan.ranks) {}

  // W of what I recorded.
  bool is_deferred(const Action& action) const { return action.kind == Kind::weight_gradient && at(action); }
  // I that records for a W to come.
  bool records(const Action& action) const {
    return action.kind == Kind::input_gradient && action.stream == joint_[action.stage] && at(action);
  }

 private:
  bool at(const Action& action) const { return deferred_[int64_t{action.stage} * microbatches_ + action.microbatch]; }

  int microbatches_;
  std::vector<int> joint_;      // per stage
  std::vector<bool> deferred_;  // per (stage, microbatch)
};

// W of one stage in a step: all of them, and those that are deferred.
struct WeightPasses {
  int64_t all = 0, deferred = 0;
};
std::vector<WeightPasses> weight_passes(const Plan& plan);  // per stage

// In units of a stage's forward: F and I 1, W and B 2 (they walk the body and make the weight products), a deferred W
// 1, a head nothing.
int64_t unit_cost(Kind kind, bool deferred = false);

}  // namespace interlock
