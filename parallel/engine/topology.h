#pragma once
// Who is where: world rank = replica * ranks + rank in the replica's pipeline.

#include <vector>

#include "parallel/plan/plan.h"

namespace interlock {

struct Topology {
  PlanShape shape;
  int world_rank = 0;

  int replica() const { return world_rank / shape.ranks; }
  int pipeline_rank() const { return world_rank % shape.ranks; }
  int world_size() const { return shape.ranks * shape.replicas; }
  int world_rank_of(int stage) const { return replica() * shape.ranks + shape.rank_of(stage); }
  std::vector<int> stages() const { return shape.stages_of(pipeline_rank()); }
  bool holds(int stage) const { return stage >= 0 && stage < shape.stages && shape.rank_of(stage) == pipeline_rank(); }
  // Ranks that hold the same stages, in replica order: their gradients are summed.
  std::vector<int> same_stages() const {
    std::vector<int> members;
    for (int other = 0; other < shape.replicas; ++other) members.push_back(other * shape.ranks + pipeline_rank());
    return members;
  }
  // Ranks of this replica, in pipeline order.
  std::vector<int> pipeline() const {
    std::vector<int> members;
    for (int rank = 0; rank < shape.ranks; ++rank) members.push_back(replica() * shape.ranks + rank);
    return members;
  }
};

}  // namespace interlock
