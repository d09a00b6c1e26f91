#pragma once
// A run's plan with the costs that it measured: what a step would take with a core (or GPU) for every rank.

#include <optional>
#include <string>

#include "launch/page/timeline_picture.h"
#include "parallel/plan/simulate.h"

namespace interlock {

struct Replay {
  Plan plan;
  SimulationCosts costs;
  Simulation steady;       // of a steady step
  TimelineGroup timeline;  // of one step after the pipeline has filled
};

// From config.toml and costs.json of a run folder. None where something of it is not here (the data's tokenizer, the
// costs of a run that has not ended): `why` says what.
std::optional<Replay> replay_of(const std::string& folder, std::string& why);

// The bars of one step of a simulated plan.
TimelineGroup simulated_step(const Plan& plan, const SimulationCosts& costs);

}  // namespace interlock
