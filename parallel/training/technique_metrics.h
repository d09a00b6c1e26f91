#pragma once
// The numbers that techniques tell of themselves while a run goes on.

#include <vector>

#include "parallel/engine/rank_context.h"
#include "parallel/technique/technique.h"

namespace interlock {

class TechniqueMetrics {
 public:
  // `layers`: those that may be left out, with their places in the cut.
  TechniqueMetrics(TechniqueList techniques, std::vector<LayerPlace> layers)
      : techniques_(std::move(techniques)), layers_(std::move(layers)) {}

  // Of a step with so many microbatches over all replicas. No rank but the one that asks has a part in it.
  TechniqueNumbers of_step(uint64_t seed, int64_t step, int64_t microbatches) const;
  // Whether there is something to measure; the same on every rank.
  bool measures() const;
  // Of the tensors as they are, whose values are all here (Engine::await_values). Every rank together; filled on rank
  // 0. The same bits on any placement; where optimizer state is shared out over replicas, sums over averages go piece
  // by piece, and may differ by the rounding of float64.
  TechniqueNumbers measure(RankContext& context) const;

 private:
  TechniqueList techniques_;
  std::vector<LayerPlace> layers_;
};

}  // namespace interlock
