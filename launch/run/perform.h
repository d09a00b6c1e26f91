#pragma once
// Performs a run with its folder: from settings to result.json.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "launch/folders/run_folder.h"
#include "launch/run/result.h"
#include "launch/settings/run_settings.h"
#include "parallel/training/trainer.h"

namespace interlock {

// What is asked of a run beside its config.
struct PerformRequest {
  FolderUse folder = FolderUse::fresh;  // resume: go on from the newest whole checkpoint, if there is one
  std::optional<int64_t> until = {};    // stop after this step, with a checkpoint
  std::shared_ptr<const TrainerSettings::RulePlans> plans = {};  // where they are made already (make_plans)
};

// What happened to a run beside its training.
struct RunIncident {
  std::string event;  // "skipped", "rewound"
  int64_t rank = 0, step = 0;
  std::string reason;
};

// Called on rank 0; may be empty.
struct PerformCallbacks {
  std::function<void(const StepMetrics&)> on_step = {};
  std::function<bool()> stop_wanted = {};  // after every step
  std::function<void(const RunIncident&)> on_incident = {};
};

// What can be refused before any rank starts. The first for rank 0, which alone looks at the folder; `dataset` need not
// be open. Error(cannot_write, config, bad_input).
void check_folders(const RunSettings& settings, const Dataset& dataset, const PerformRequest& request);
void check_until(const RunSettings& settings, const PerformRequest& request);

// Every rank calls it; the result is whole on rank 0, the others know how the run ended. `dataset` is open and may be
// shared by ranks of one process. Every failure is an Error, with the action that was under way.
RunResult perform(const RunSettings& settings, Transport& transport, std::shared_ptr<const Dataset> dataset,
                  const PerformRequest& request, const PerformCallbacks& callbacks = {});

}  // namespace interlock
