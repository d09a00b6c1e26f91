// The plainest order: passes back come before new forwards, and a stage keeps no more microbatches alive than the
// farthest loss it waits for needs. Under global learning that is 1F1B (K - k warm-up forwards on stage k, then one
// forward for each backward); under short horizons the warm-up shrinks to the horizon.

#include "parallel/plan/list_schedule.h"
#include "parallel/plan/schedule.h"

namespace interlock {
namespace {

class Wavefront : public Schedule {
 public:
  std::vector<std::vector<Action>> order(const Plan& plan, int) const override {
    ListPolicy policy;
    for (int reach : plan.flows.reach) policy.most_in_flight.push_back(reach + 1);
    return list_schedule(plan.shape, plan.flows, policy);
  }
};

const Registration<Schedule> registered("wavefront", [] { return std::make_unique<Wavefront>(); });

}  // namespace
}  // namespace interlock
