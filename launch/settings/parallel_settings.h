#pragma once
// [parallel]: how a run is cut, placed and scheduled, and how large its batches are.

#include <string>
#include <vector>

#include "models/unit.h"
#include "parallel/plan/plan.h"
#include "parallel/transport/link_speed.h"
#include "runtime/core/config.h"
#include "runtime/data/batch_settings.h"

namespace interlock {

struct ParallelSettings {
  PlanShape shape;  // stages, ranks, replicas, microbatches, placement
  BatchSettings batch;
  std::string schedule, transport;
  int in_flight = 0;                // microbatches alive at a stage at most; 0: the schedule's choice
  int64_t memory_mib = 0;           // that a rank may take for its tensors; 0: no limit
  double transport_seconds = 300;   // a message over NCCL that takes longer ends the run
  LinkSpeed links;                  // that messages are slowed down to, for tests
  int threads = 1;                  // per rank; 0 in the file: cores / ranks
  bool threads_by_machine = false;  // 0 in the file
  Unit unit = Unit::block;          // what is cut between
  std::vector<int> partition;       // units per stage by hand; empty: as balanced
  bool balanced_for_rule = false;   // by what each stage does under the rule; false: all stages alike
  bool shard_optimizer = false;     // ZeRO-1: each replica keeps a share of the optimizer's state

  static ParallelSettings from(const Config& config);
  BatchShape batch_shape() const { return {shape.replicas, shape.microbatches, batch.microbatch_size}; }
  int processes() const { return shape.ranks * shape.replicas; }
};

}  // namespace interlock
