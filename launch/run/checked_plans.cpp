#include "launch/run/checked_plans.h"

#include <algorithm>

#include "launch/forecast/run_plans.h"
#include "launch/forecast/stage_parts.h"
#include "launch/settings/parts.h"
#include "models/model.h"
#include "parallel/transport/listed_hosts.h"

namespace interlock {

std::optional<LocalRanks> ranks_to_start(const RunSettings& settings) {
  if (listed_hosts() > 1) return std::nullopt;  // ranks come up on all of them, where the first of each host asks
  return LocalRanks{0, settings.parallel.processes()};
}

std::optional<LocalRanks> ranks_beside(const LaunchPlace& place) {
  if (place.local_rank != 0) return std::nullopt;
  return LocalRanks{place.rank, std::min(place.local_size, place.size - place.rank)};
}

std::shared_ptr<const TrainerSettings::RulePlans> checked_plans(const RunSettings& settings, const Dataset& dataset,
                                                                const std::optional<LocalRanks>& here, bool force) {
  const auto model = make_model(settings, dataset);
  const auto parts = stage_parts(settings, *model, make_partition(settings, *model));
  if (const std::string why = nothing_learns(settings, parts); !why.empty())
    throw Error(ExitCode::config, settings.config.file() + ": " + why);
  auto plans = std::make_shared<const TrainerSettings::RulePlans>(make_plans(settings, *model));
  if (here) check_memory(settings, *model, plans_of_steps(*plans, settings.steps), *here, force);
  return plans;
}

}  // namespace interlock
