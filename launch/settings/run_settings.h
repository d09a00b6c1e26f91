#pragma once
// All keys of a run.

#include <string>
#include <vector>

#include "models/precision.h"
#include "parallel/plan/partition.h"
#include "parallel/plan/plan.h"
#include "parallel/recompute.h"
#include "runtime/core/config.h"
#include "runtime/data/loader.h"

namespace interlock {

// All keys of a run, read and range-checked. What nobody asks for is refused by check_settings.
struct RunSettings {
  Config config;
  std::string model_name, dataset_name;

  struct RuleChange {
    int64_t at_step = 1;
    RuleRequest request;
  };
  std::vector<RuleChange> rules;  // [learning] first, then [[learning.change]] by step
  HeadPolicy heads = HeadPolicy::needed;
  std::string head_kind = "linear";

  PlanShape shape;                 // stages, ranks, replicas, microbatches, placement
  std::vector<BatchPhase> phases;  // [[parallel.batch_change]]: fewer microbatches from some step on
  int64_t microbatch_size = 2;
  std::string schedule, transport;
  int threads = 1;             // per rank; 0 in the file: cores / ranks
  std::vector<int> partition;  // blocks per stage by hand; empty: balanced

  std::string optimizer_name;
  double clip = 1.0;
  std::string clip_scope = "auto";  // auto | stage | model

  int64_t steps = 20, evaluate_every = 10, evaluate_sequences = 64, trace_steps = 20;
  uint64_t seed = 1;
  std::string folder;
  std::string weights;  // start from these weights (file, run folder or checkpoint); empty: from keyed start values
  Precision precision = Precision::float32;
  Recompute recompute = Recompute::none;
  bool shard_optimizer = false;    // ZeRO-1: each replica keeps a share of the optimizer's state
  int64_t refresh_every = 10;      // learning.refresh_every: steps between copies of the readout (shared_readout)
  int64_t checkpoint_every = 100;  // steps; 0: only where a run is asked to stop
  int64_t checkpoint_keep = 3;
  int64_t stop_seconds = 60;  // that ranks have for a step and a checkpoint when they are asked to stop

  BatchShape batch_shape() const;
  bool tied() const;  // model.tie_embeddings
};

RunSettings read_settings(Config config);

}  // namespace interlock
