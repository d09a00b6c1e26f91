// Arms at a time share the memory of the machine: what they hold together is looked at before the first one starts.

#include <algorithm>
#include <string>

#include "launch/comparison/comparison.h"
#include "launch/forecast/machine_memory.h"
#include "launch/forecast/memory_check.h"
#include "launch/forecast/run_plans.h"
#include "launch/settings/parts.h"
#include "models/model.h"
#include "runtime/core/error.h"
#include "runtime/core/log.h"

namespace interlock {

// As if all of them were of the group whose arms plan the most. Each arm asks for itself when it starts (`train`), and
// sees nothing of the others.
void Comparison::check_memory_at_once() const {
  const MachineMemory memory = machine_memory();
  if (request_.at_once < 2 || memory.bytes == 0 || may_be_on_gpu(settings_)) return;
  int64_t left = 0;  // of arms that are not done; after a search there are others
  double most = 0;
  const RuleGroup* hungriest = nullptr;
  for (const RuleGroup& group : groups_.all) {
    left += std::ranges::count_if(runs_at_known_rates(group),
                                  [](const Arm& arm) { return status_of(arm) != ArmStatus::done; });
    const RunSettings settings = settings_of(base_, group.overrides);
    const auto model = make_model(settings, *make_dataset(settings));
    double bytes = 0;
    for (const MemoryFootprint& rank : rank_footprints(settings, *model, make_partition(settings, *model)))
      bytes += rank.all();
    if (bytes > most) most = bytes, hungriest = &group;
  }
  const int together = static_cast<int>(std::min<int64_t>(request_.at_once, left));
  if (together < 2 || hungriest == nullptr) return;
  const RunSettings settings = settings_of(base_, hungriest->overrides);
  const auto model = make_model(settings, *make_dataset(settings));
  const auto plans = make_plans(settings, *model);
  const LocalRanks all{0, settings.parallel.processes(), settings.parallel.transport == "loopback"};
  const double bytes =
      forecast_bytes(settings, *model, plans_of_steps(plans, settings.steps), all, memory.bytes, together);
  const Fit fit = fit_of(bytes, memory);
  if (fit == Fit::fits) return;
  const std::string said =
      message("--at-once ", request_.at_once, ": by the forecast ", fit_text(bytes, together * all.count, memory));
  if (fit == Fit::tight) return log_warning(said + ": little is left");
  const int fitting = static_cast<int>(together * memory.bytes / bytes);
  throw Error(ExitCode::config, fitting > 0 ? message(said, "; about ", fitting, " at a time fit")
                                            : said + "; not even one of them fits");
}

}  // namespace interlock
