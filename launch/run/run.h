#pragma once
// One training run: what every rank does from settings to the last file, over any transport.

#include <optional>
#include <string>
#include <vector>

#include "launch/run/assemble.h"
#include "parallel/plan/simulate.h"
#include "parallel/trainer.h"
#include "runtime/storage/weights_set.h"

namespace interlock {

// The metadata of weights that tells the tokenizer they were trained with (Tokenizer::fingerprint).
inline constexpr const char* tokenizer_metadata = "interlock.tokenizer";

// What a run is asked beside its config.
struct RunRequest {
  std::string resume = {};            // on rank 0: the checkpoint to go on from; "": from the beginning
  std::optional<int64_t> until = {};  // stop after this step, with a checkpoint
  bool checkpoints = true;            // false: none are written, not even when asked to stop
};

// Ranks and threads of one run. Every rank calls it; the summary is filled on rank 0. `outlets.weights_path` must be
// the same on all ranks. `dataset` may be shared by ranks of one process; it is open.
RunSummary run_rank(const RunSettings& settings, Transport& transport, std::shared_ptr<const Dataset> dataset,
                    TrainerOutlets outlets, const RunRequest& request = {});

// Error(config) when the weights that run.weights names were trained with another tokenizer than the run reads its data
// with: their rows would stand for other tokens. Weights that say nothing of a tokenizer pass.
void check_start_tokenizer(const RunSettings& settings, const WeightsSet& weights);

// Proved plans of a run: one for every step at which its rule or its number of microbatches changes.
std::vector<TrainerSettings::RulePlan> make_plans(const RunSettings& settings);

// Measured seconds per stage and action in the form that `simulate` takes; sizes come from the estimate. `plans` are
// the run's: they tell how many W were deferred.
SimulationCosts measured_costs(const RunSummary& summary, const SimulationCosts& estimate,
                               const std::vector<TrainerSettings::RulePlan>& plans);

}  // namespace interlock
