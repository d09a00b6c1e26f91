#pragma once
// Performs the runs of a fine-tuning, each as `interlock train` in a process of its own.

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "launch/finetune/finetune_config.h"

namespace interlock {

// Writes the configs into request.to. Error(cannot_write) when the folder holds another fine-tuning, and `overwrite`
// does not allow to replace it; and, whether it does or not, when it holds anything that no fine-tuning wrote, or what
// the request reads. Nothing is changed then.
void write_configs(const FinetunePlan& plan, const FinetuneRequest& request, bool overwrite);

// What a run that is done says (result.json); none: it is not.
std::optional<nlohmann::json> finished_result(const FinetunePlan::Run& run);

// Goes on with a run, from its newest checkpoint if there is one. Its lines go to stderr. A request to stop is handed
// on. Returns its exit code.
int train_in_child(const FinetunePlan::Run& run);

}  // namespace interlock
