// Looped 1F1B (Narayanan et al., SC 2021): each rank holds several stages, one of every round through the ranks, and
// the pipeline fills once per step instead of once per stage: idle (K - 1) / (v m + K - 1) with v stages on each of K
// ranks, where there are at least K microbatches. They go in groups through all rounds; groups are as even as can be,
// none smaller than K, so that any number of microbatches does. With fewer than K the last stage waits for each
// microbatch's way through all stages, and a step takes 3 (v K + m - 1) units, the least for an order in which I and W
// go together.

#include <algorithm>

#include "parallel/plan/fixed_order.h"
#include "parallel/plan/schedule.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

class Loops {
 public:
  explicit Loops(const PlanShape& shape) : ranks_(shape.ranks), rounds_(shape.stages / shape.ranks) {
    const int groups = std::max(1, shape.microbatches / ranks_);
    for (int i = 0; i < groups; ++i)
      groups_.push_back(shape.microbatches / groups + (i < shape.microbatches % groups ? 1 : 0));
  }

  // So many forwards first that the first backward finds its own among them; then one forward for each backward.
  std::vector<Pass> passes(int rank) const {
    const std::vector<Pass> forwards = all(Kind::forward, rank), backwards = all(Kind::backward, rank);
    const size_t warm_up = static_cast<size_t>(int64_t{rounds_ - 1} * groups_.front() + ranks_ - rank);
    std::vector<Pass> passes(forwards.begin(),
                             forwards.begin() + static_cast<int64_t>(std::min(forwards.size(), warm_up)));
    passes.reserve(forwards.size() + backwards.size());
    for (size_t i = 0; i < backwards.size(); ++i) {
      passes.push_back(backwards[i]);
      if (i + warm_up < forwards.size()) passes.push_back(forwards[i + warm_up]);
    }
    return passes;
  }

 private:
  std::vector<Pass> all(Kind kind, int rank) const {
    std::vector<Pass> passes;
    int first = 0;
    for (const int size : groups_) {
      for (int i = 0; i < rounds_; ++i) {
        const int round = kind == Kind::forward ? i : rounds_ - 1 - i;
        for (int microbatch = first; microbatch < first + size; ++microbatch)
          passes.push_back({kind, round * ranks_ + rank, microbatch});
      }
      first += size;
    }
    return passes;
  }

  int ranks_, rounds_;
  std::vector<int> groups_;  // microbatches of each
};

class Interleaved : public Schedule {
 public:
  std::vector<std::vector<Action>> order(const Plan& plan, int) const override {
    const Loops loops(plan.shape);
    std::vector<std::vector<Pass>> ranks;
    for (int rank = 0; rank < plan.shape.ranks; ++rank) ranks.push_back(loops.passes(rank));
    return actions_of(plan.flows, ranks);
  }
  std::string refusal(const PlanShape& shape) const override {
    const Placement needed = Placement::named("interleaved", shape.stages, shape.ranks);
    if (shape.placement.rank_of_stage() == needed.rank_of_stage()) return "";
    return message("parallel.placement = ", shape.placement.text(),
                   ": schedule \"interleaved\" goes around the ranks, stage k on rank k mod ", shape.ranks,
                   "; use placement \"interleaved\"");
  }
};

const Registration<Schedule> registered("interleaved", [] { return std::make_unique<Interleaved>(); });

}  // namespace
}  // namespace interlock
