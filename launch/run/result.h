#pragma once
// What came out of a run, in numbers: what `train` prints, and result.json of the run folder.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "launch/settings/run_settings.h"
#include "parallel/training/run_summary.h"
#include "parallel/transport/link_speed.h"
#include "runtime/observe/scores.h"

namespace interlock {

struct RunResult {
  struct Boundary {  // messages between two stages that follow each other, over the whole run
    uint64_t forward = 0, backward = 0;
  };
  std::string run;  // its folder
  Ending ending = Ending::completed;
  int64_t steps = 0;      // the number of the last step
  int64_t performed = 0;  // of these, by this process; at most 0: nothing was left to do
  // Of the last step, nats per target; of the last evaluation, and of letter frequencies on the same targets. None: no
  // step, no evaluation.
  std::optional<double> loss, validation_loss, unigram_baseline;
  Scores validation_scores;                 // of the last evaluation, of classes or scores of samples
  int64_t validation_step = 0;              // after which it was made
  std::optional<double> majority_baseline;  // as RunSummary has it
  TechniqueNumbers techniques;              // as RunSummary has them
  // Where the run keeps its best weights (run.keep_best): their step, and the value they were chosen by.
  std::optional<int64_t> best_step;
  double best_value = 0;
  bool ended_early = false;  // for lack of anything better (run.patience)
  // Steps left out and rewinds because a loss or a gradient was not finite, those that its checkpoints tell of
  // included.
  int64_t left_out = 0, rewinds = 0;
  std::string unit = "tokens";  // that speed is told in; data of images and features: "samples"
  double tokens_per_second = 0, idle_share = 0, seconds = 0;
  std::vector<double> peak_rss_mib;  // by rank
  uint64_t messages = 0, bytes_sent = 0;
  std::vector<Boundary> boundaries;
  double checkpoint_seconds = 0, loader_seconds = 0;  // of the rank with the most
  LinkSpeed links;                                    // that messages were slowed down to
  // Of the weights. None: the run was stopped, and has a checkpoint but no weights file of its last step.
  std::optional<std::string> digest;

  std::string
      not_kept;  // why there is no checkpoint of the last step, though one was to be written; "": nothing failed

  bool stopped() const { return ending == Ending::stopped; }
};

// `summary` is rank 0's, `dataset` open, and the weights file stands where the run has one.
RunResult result_of(const RunSettings& settings, const RunSummary& summary, const Dataset& dataset);
// One JSON object on one line.
std::string to_json(const RunResult& result);

}  // namespace interlock
