#pragma once
// One training run: what every rank does from settings to the last file, over any transport.

#include <memory>
#include <optional>
#include <string>

#include "launch/settings/run_settings.h"
#include "parallel/training/trainer.h"
#include "runtime/device/device.h"

namespace interlock {

// What a run is asked beside its config.
struct RunRequest {
  std::string resume = {};            // on rank 0: the checkpoint to go on from; "": from the beginning
  std::optional<int64_t> until = {};  // stop after this step, with a checkpoint
  bool checkpoints = true;            // false: none are written, not even when asked to stop
  std::shared_ptr<const TrainerSettings::RulePlans> plans = {};  // where they are made already (make_plans)
  std::string pulses = {};  // the run folder in which the ranks tell what they do, and write their traces; "": nowhere
  // Of a run that diverged and goes back to `resume`: what was done about that so far, and the first sample behind the
  // data that it skips.
  std::optional<DivergenceRecord> divergences = {};
  std::optional<int64_t> next_sample = {};
};

// What this rank computes on, by run.device and its place on the host. Errors as choose_device; asked again, it answers
// the same.
Device device_of(const RunSettings& settings, const Transport& host);

// Ranks and threads of one run. Every rank calls it; the summary is filled on rank 0. `callbacks.weights_path` must be
// the same on all ranks. `dataset` may be shared by ranks of one process; it is open.
RunSummary run_rank(const RunSettings& settings, Transport& transport, std::shared_ptr<const Dataset> dataset,
                    TrainerCallbacks callbacks, const RunRequest& request = {});

}  // namespace interlock
