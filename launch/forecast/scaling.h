#pragma once
// How a run would scale: its step time on more and fewer ranks, by simulation, under each learning rule with the
// schedule that is best for it there.

#include <functional>
#include <string>
#include <vector>

#include "launch/settings/run_settings.h"
#include "parallel/plan/simulate.h"

namespace interlock {

class Model;

enum class Scaling {
  weak,    // a rank keeps as many microbatches as it has in the config: the batch grows
  strong,  // the config's batch, shared out
};

struct ScalingPoint {
  Scaling scaling = Scaling::weak;
  int ranks = 0;  // of the whole run
  std::string rule;
  int pipeline = 1, replicas = 1, microbatches = 1;  // ranks of a pipeline; per step and replica
  // What follows is of a run that there can be; else `why_not` says why there is none.
  std::string schedule;
  double step = 0;  // seconds, with the sum of gradients over replicas
  double sum = 0;   // of these, for that sum: a ring, and nothing at the same time, though runs overlap much of it
  double efficiency = 0;  // samples per second and rank, of those of one rank that does the same
  std::string why_not;
};

// Costs of a run, its cut, and the flows of its rule.
using CostsOf = std::function<SimulationCosts(const RunSettings&, const std::vector<int>& partition, const Flows&)>;

// For each number of ranks, weak and strong, under the config's rule and local, furthest(2), sum(2) and global. The
// stages stay the config's, so that a rule stays the same way of learning: up to as many ranks as the config's pipeline
// has, they share its stages; more are replicas of it. parallel.schedule, in_flight and memory_mib hold at any number
// of ranks: what does not fit them has a `why_not`, and Error(config) where nothing fits. A rank alone, of which an
// efficiency is a share, is free of them.
std::vector<ScalingPoint> scaling_of(const RunSettings& settings, const Model& model, const std::vector<int>& ranks,
                                     const CostsOf& costs_of);

// "1,2,4": as written; "1,2,4,...,1024": goes on by the same factor, or else by the same difference. Error(usage)
// where it is neither, falls, or has a number below 1.
std::vector<int> read_ranks(const std::string& text);

}  // namespace interlock
