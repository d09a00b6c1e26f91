#pragma once
// All keys of a run: the sum of what its parts are set to. Each struct reads its own keys.

#include <string>

#include "launch/settings/checkpoint_policy.h"
#include "launch/settings/learning_settings.h"
#include "launch/settings/monitor_settings.h"
#include "launch/settings/parallel_settings.h"
#include "models/precision.h"
#include "parallel/stage/recompute.h"
#include "parallel/technique/technique.h"
#include "parallel/training/divergence_record.h"
#include "runtime/core/config.h"
#include "runtime/optimization/clip.h"

namespace interlock {

struct EvaluationSettings {
  int64_t every = 10;  // steps; 0: none
  int64_t sequences = 64;
  std::string keep_best = "none";  // the score by which the run's weights are chosen; none: they are the last
  int64_t patience = 0;            // evaluations without a better one before the run ends; 0: it does not

  static EvaluationSettings from(const Section& run);
};

// Read and range-checked. Keys that nobody asks for are refused by check_settings.
struct RunSettings {
  Config config;
  std::string model_name, dataset_name;
  LearningSettings learning;
  std::string optimizer_name;
  ParallelSettings parallel;
  ClipSettings clip;
  CheckpointPolicy checkpoint;
  MonitorSettings monitor;

  int64_t steps = 20;
  uint64_t seed = 1;
  std::string device = "auto";  // auto | cpu | cuda
  std::string folder;
  std::string weights;  // start from these weights (file, run folder or checkpoint); empty: from keyed start values
  EvaluationSettings evaluation;
  int64_t trace_steps = 20;
  DivergenceSettings divergence;
  Precision precision = Precision::float32;
  Recompute recompute = Recompute::none;
  TechniqueList techniques = {};
};

RunSettings read_settings(Config config);

}  // namespace interlock
