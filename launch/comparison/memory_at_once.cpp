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

// Each arm asks for itself when it starts (`train`), and sees nothing of the others.
void Comparison::check_memory_at_once() const {
  const MachineMemory memory = machine_memory();
  if (request_.at_once < 2 || memory.bytes == 0 || may_be_on_gpu(settings_)) return;
  double of_an_arm = 0;
  int ranks = 0;
  for (const RuleGroup& group : groups_.all) {
    const RunSettings settings = settings_of(base_, group.overrides);
    const auto model = make_model(settings, *make_dataset(settings));
    const auto plans = make_plans(settings, *model);
    const LocalRanks all{0, settings.parallel.processes(), settings.parallel.transport == "loopback"};
    const double bytes =
        forecast_bytes(settings, *model, plans_of_steps(plans, settings.steps), all, memory.bytes / request_.at_once);
    if (bytes > of_an_arm) of_an_arm = bytes, ranks = all.count;
  }
  const int together = static_cast<int>(
      std::min<int64_t>(request_.at_once, std::ssize(groups_.all) * std::max(request_.seeds, request_.tune)));
  const Fit fit = fit_of(together * of_an_arm, memory);
  if (fit == Fit::fits) return;
  const std::string said = message("--at-once ", request_.at_once, ": by the forecast ",
                                   fit_text(together * of_an_arm, together * ranks, memory));
  if (fit == Fit::tight) return log_warning(said + ": little is left");
  const int fitting = static_cast<int>(memory.bytes / of_an_arm);
  throw Error(ExitCode::config,
              fitting > 0 ? message(said, "; ", fitting, " at a time fit") : said + "; not even one of them fits");
}

}  // namespace interlock
