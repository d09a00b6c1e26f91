#pragma once
// The plans of a run, and what must hold before a rank is started for them.

#include <memory>
#include <optional>
#include <vector>

#include "launch/forecast/memory_check.h"
#include "launch/settings/run_settings.h"
#include "parallel/training/trainer.h"
#include "parallel/transport/launch_place.h"

namespace interlock {

// Which ranks share this machine's memory: all, where we start them ourselves on one node (nullopt: a job of several,
// whose nodes answer for themselves); of ranks that a launcher has started those beside this one, told by the first of
// a node and by no other, as far as launchers number them node by node.
std::optional<LocalRanks> ranks_to_start(const RunSettings& settings);
std::optional<LocalRanks> ranks_beside(const LaunchPlace& place);

// Error(config) for a run in which nothing learns, and for one whose ranks `here` do not fit into memory; `force` lets
// these try.
std::shared_ptr<const TrainerSettings::RulePlans> checked_plans(const RunSettings& settings, const Dataset& dataset,
                                                                const std::optional<LocalRanks>& here, bool force);

}  // namespace interlock
