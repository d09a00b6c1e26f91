// All forwards of a rank first, with the losses and the own-loss streams that follow from them, then everything else
// with ascending microbatches. Simple, and it keeps every microbatch of the step alive. (Huang et al., NeurIPS 2019.)

#include "parallel/plan/list_schedule.h"
#include "parallel/plan/schedule.h"

namespace interlock {
namespace {

class GPipe : public Schedule {
 public:
  std::vector<std::vector<Action>> order(const Plan& plan, int) const override {
    ListPolicy policy;
    policy.most_in_flight.assign(plan.shape.stages, plan.shape.microbatches);
    policy.first = ListPolicy::First::all_forwards;
    return list_schedule(plan.shape, plan.flows, policy);
  }
};

const Registration<Schedule> registered("gpipe", [] { return std::make_unique<GPipe>(); });

}  // namespace
}  // namespace interlock
