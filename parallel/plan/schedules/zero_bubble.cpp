// Zero bubble (Qi et al., 2024, arXiv 2401.10241): the backward pass is taken apart, the gradient at the input goes
// down at once, the weight gradient waits until the rank has nothing else to do. With D ranks between stage 0 and the
// loss it waits for, ZB-H1 keeps D microbatches alive at every stage, as many as 1F1B does at the first; each more
// takes a unit off the idle time, and with 2 D - 1 (ZB-H2) a pipeline that never flushes has none.
//
// Forwards come before passes, but stage k has no more than its round trip under way: K - k microbatches under global
// learning, so that both go down and up without waiting for each other; what `most` adds to D is added to that, up to
// the 2 (K - k) - 1 that a stage without any W in between has under way.

#include <algorithm>

#include "parallel/plan/list_schedule.h"
#include "parallel/plan/schedule.h"

namespace interlock {
namespace {

class ZeroBubble : public Schedule {
 public:
  std::vector<std::vector<Action>> order(const Plan& plan, int most_in_flight) const override {
    const int depth = depth_in_ranks(plan.shape, plan.flows);
    const int most = most_in_flight > 0 ? std::min(most_in_flight, 2 * depth - 1) : depth;
    return list_schedule(plan.shape, plan.flows, zero_bubble_policy(plan.shape, plan.flows, most));
  }
  bool takes_in_flight() const override { return true; }
};

const Registration<Schedule> registered("zero_bubble", [] { return std::make_unique<ZeroBubble>(); });

}  // namespace
}  // namespace interlock
