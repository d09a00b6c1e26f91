// The smallest number of microbatches in flight at which a steady step takes no longer than it must (step_bounds.h):
// than its busiest rank, or where that is longer, than the rule's own chain. Weights last, found by trying: a step that
// does not flush is simulated in unit costs with ever more in flight, under two orders of preference. Where no number
// gets there - a step that flushes, above all - the smallest of the fastest is taken.

#include <algorithm>
#include <limits>
#include <numeric>

#include "parallel/plan/list_schedule.h"
#include "parallel/plan/lower.h"
#include "parallel/plan/schedule.h"
#include "parallel/plan/step_bounds.h"

namespace interlock {
namespace {

// Forwards (stages x microbatches) of a plan that is tried: a few hundredths of a second each.
constexpr int64_t most_tried_forwards = int64_t{1} << 14;
constexpr double rounding = 1 + 1e-9;

using First = ListPolicy::First;

ListPolicy policy_of(const Plan& plan, First first, int most) {
  ListPolicy policy = zero_bubble_policy(plan.shape, plan.flows, most);
  if (first == First::forwards) return policy;
  policy.first = first;
  policy.most_underway.clear();
  return policy;
}

struct Found {
  int most = 1;
  First first = First::passes;
  double step = std::numeric_limits<double>::infinity();
};

class Search {
 public:
  // Tried on as many microbatches as the budget allows: what keeps them flowing does not depend on how many follow.
  Search(const Plan& plan, int most) : trial_(plan), costs_(SimulationCosts::unit(plan.shape.stages)), most_(most) {
    const int64_t budget = std::max<int64_t>(1, most_tried_forwards / plan.shape.stages);
    trial_.shape.microbatches = static_cast<int>(std::min<int64_t>(plan.shape.microbatches, budget));
    is_shortened_ = trial_.shape.microbatches < plan.shape.microbatches;
  }

  Found run() {
    // Too few fit into a trial to show the steady flow: the most that any order can use.
    if (is_shortened_ && 2 * most_ > trial_.shape.microbatches) return {most_, First::forwards, 0};
    const Found fastest = at(most_);
    const double enough = std::max(step_bounds(trial_, costs_).best(), fastest.step) * rounding;
    Found best = fastest;
    for (int least = 1; least < best.most;) {
      const int middle = std::midpoint(least, best.most);
      const Found found = at(middle);
      if (found.step <= enough) {
        best = found;
      } else {
        least = middle + 1;
      }
    }
    return best;
  }

 private:
  Found at(int most) {
    Found best;
    for (const First first : {First::passes, First::forwards}) {
      lower(trial_, list_schedule(trial_.shape, trial_.flows, policy_of(trial_, first, most)));
      const double step = simulate(trial_, costs_).step;
      if (step < best.step) best = {most, first, step};
    }
    return best;
  }

  Plan trial_;
  SimulationCosts costs_;
  int most_;
  bool is_shortened_ = false;
};

class Steady : public Schedule {
 public:
  std::vector<std::vector<Action>> order(const Plan& plan, int most_in_flight) const override {
    const int reach = *std::ranges::max_element(plan.flows.reach);
    int most = std::min(2 * reach + 1, plan.shape.microbatches);  // a round trip, as if every hop had to wait once
    if (most_in_flight > 0) most = std::min(most, most_in_flight);
    const Found found = Search(plan, most).run();
    return list_schedule(plan.shape, plan.flows, policy_of(plan, found.first, found.most));
  }
  bool takes_in_flight() const override { return true; }
};

const Registration<Schedule> registered("steady", [] { return std::make_unique<Steady>(); });

}  // namespace
}  // namespace interlock
