#include "launch/run/checked_plans.h"

#include <algorithm>
#include <cstdlib>

#include "launch/forecast/run_plans.h"
#include "launch/forecast/stage_parts.h"
#include "launch/settings/parts.h"
#include "models/model.h"

namespace interlock {

std::optional<LocalRanks> ranks_to_start(const RunSettings& settings) {
  const char* nodes = std::getenv("SLURM_JOB_NUM_NODES");  // our mpirun starts ranks on all of them
  if (nodes != nullptr && std::atoi(nodes) > 1) return std::nullopt;
  // Lists of hosts that mpirun takes: of a person, PBS, LSF, Grid Engine. There the first rank of each host asks.
  for (const char* hosts : {"OMPI_MCA_orte_default_hostfile", "PBS_NODEFILE", "LSB_HOSTS", "PE_HOSTFILE"})
    if (std::getenv(hosts) != nullptr) return std::nullopt;
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
