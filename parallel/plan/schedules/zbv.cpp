// ZB-V (Qi et al., 2024, arXiv 2405.15362): rank k holds stage k, where microbatches go down the V, and stage
// 2 K - 1 - k, where they come back up. The last stage lies on the first rank, so gradients are there soon: with unit
// costs a rank has nothing to wait for but the first microbatch, with as many half-stages alive as 1F1B has on its
// first rank. The order is the published one; passes of microbatches that a short step has not are left out.

#include <algorithm>

#include "parallel/plan/fixed_order.h"
#include "parallel/plan/schedule.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

class RankOfV {
 public:
  RankOfV(int rank, int ranks, int microbatches)
      : rank_(rank),
        ranks_(ranks),
        microbatches_(microbatches),
        down_{rank, 0, 0, 0},
        up_{2 * ranks - 1 - rank, 0, 0, 0} {}

  std::vector<Pass> passes() {
    // As many microbatches as fill the pipeline, at least; those that the step has not are left out.
    const int all = std::max(2 * ranks_ - 1, microbatches_);
    for (int i = 0; i < 2 * (ranks_ - rank_) - 1; ++i) forward(down_);
    for (int i = 0; i < rank_; ++i) {
      forward(up_);
      forward(down_);
    }
    for (int i = 0; i < ranks_ - rank_; ++i) {
      forward(up_);
      input(up_);
      weight(up_);
    }
    while (up_.forwards < down_.forwards || down_.forwards < all) {
      if (down_.forwards < all) forward(down_);
      input(down_);
      weight(down_);
      forward(up_);
      input(up_);
      weight(up_);
    }
    for (int i = 0; i < rank_; ++i) {
      input(down_);
      input(up_);
    }
    for (int i = 0; i < ranks_ - rank_; ++i) {
      input(down_);
      weight(down_);
    }
    while (up_.weights < up_.inputs) weight(up_);
    while (down_.weights < down_.inputs) weight(down_);
    return passes_;
  }

 private:
  struct Chunk {
    int stage, forwards, inputs, weights;
  };
  void put(Kind kind, const Chunk& chunk, int microbatch) {
    if (microbatch < microbatches_) passes_.push_back({kind, chunk.stage, microbatch});
  }
  void forward(Chunk& c) { put(Kind::forward, c, c.forwards++); }
  void input(Chunk& c) { put(Kind::input_gradient, c, c.inputs++); }
  void weight(Chunk& c) { put(Kind::weight_gradient, c, c.weights++); }

  const int rank_, ranks_, microbatches_;
  Chunk down_, up_;
  std::vector<Pass> passes_;
};

class Zbv : public Schedule {
 public:
  std::vector<std::vector<Action>> order(const Plan& plan, int) const override {
    const PlanShape& shape = plan.shape;
    std::vector<std::vector<Pass>> ranks;
    for (int rank = 0; rank < shape.ranks; ++rank)
      ranks.push_back(RankOfV(rank, shape.ranks, shape.microbatches).passes());
    return actions_of(plan.flows, ranks);
  }
  std::string refusal(const PlanShape& shape) const override {
    if (shape.stages != 2 * shape.ranks)
      return message("parallel.schedule = \"zbv\": every rank must hold two stages, stages = 2 x ranks, but there are ",
                     shape.stages, " stages on ", shape.ranks, shape.ranks == 1 ? " rank" : " ranks");
    const Placement needed = Placement::named("v", shape.stages, shape.ranks);
    if (shape.placement.rank_of_stage() == needed.rank_of_stage()) return "";
    return message("parallel.placement = ", shape.placement.text(),
                   ": schedule \"zbv\" needs placement \"v\", stages k and ", shape.stages, " - 1 - k on rank k");
  }
};

const Registration<Schedule> registered("zbv", [] { return std::make_unique<Zbv>(); });

}  // namespace
}  // namespace interlock
