#pragma once
// What a run comes to: how it ended, its losses and its speed, and what each rank has measured.

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "parallel/engine/engine.h"
#include "parallel/training/divergence_record.h"
#include "runtime/observe/trace.h"

namespace interlock {

struct RankSummary {
  int rank = 0;
  std::string host;
  double seconds = 0, waited = 0, peak_rss_mib = 0;  // seconds: in training steps, evaluation and checkpoints apart
  double loader_seconds = 0;                         // of these, to make batches
  double checkpoint_seconds = 0;                     // that training stood still for checkpoints
  EngineCounters counters;
  std::map<int, std::array<MeasuredCost, num_kinds>> costs;  // per stage
  RankTrace trace;
};

enum class Ending {
  completed,
  until,
  stopped,
  rewinds,  // diverged: to be performed again from the newest checkpoint, which needs another trainer
};

struct RunSummary {  // on rank 0; `steps`, `ending`, `divergences` and `next_sample` on all
  Ending ending = Ending::completed;
  int64_t steps = 0;       // the number of the last step
  int64_t first_step = 1;  // that was performed by this process
  double loss = 0;         // of the last step
  std::optional<double> validation_loss;
  std::map<std::string, double> validation_scores;  // of the last evaluation, by name
  int64_t validation_step = 0;                      // after which it was made
  std::optional<double> majority_baseline;          // of classes: the accuracy of guessing the most frequent one there
  // What techniques tell of themselves, as TECHNIQUE.NUMBER: of steps the mean over those performed here, of tensors
  // what they were last.
  std::map<std::string, double> techniques;
  // Of the weights that the run kept, where it chose the best: their step, and the value that they were chosen by.
  std::optional<int64_t> best_step;
  double best_value = 0;
  DivergenceRecord divergences;
  int64_t next_sample = 0;   // of a run that rewinds: behind the data that it skips
  bool ended_early = false;  // because nothing got better
  std::string not_kept;      // why the last checkpoint of a run that is done could not be written; "": it was
  double tokens_per_second = 0, idle_share = 0, seconds = 0;
  double first_step_seconds = 0;  // from the start of the trainer to the end of its first step
  std::vector<RankSummary> ranks;
};

}  // namespace interlock
