// All forwards of a rank first, with the losses and the own-loss streams that follow from them, then everything else
// with ascending microbatches. Simple, and it keeps every microbatch of the step alive. (Huang et al., NeurIPS 2019.)

#include "parallel/plan/list_schedule.h"
#include "parallel/plan/schedule.h"

namespace interlock {
namespace {

class GPipe : public Schedule {
 public:
  std::vector<std::vector<Action>> order(const PlanShape& shape, const Flows& flows) const override {
    ListPolicy policy;
    policy.most_in_flight.assign(shape.stages, shape.microbatches);
    policy.forwards_first = true;
    return list_schedule(shape, flows, policy);
  }
};

const Registration<Schedule> registered("gpipe", [] { return std::make_unique<GPipe>(); });

}  // namespace
}  // namespace interlock
