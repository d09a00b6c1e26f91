#include "launch/run_report/replay.h"

#include <algorithm>
#include <filesystem>
#include <limits>

#include "launch/forecast/run_plans.h"
#include "launch/plan_report/plan_costs.h"
#include "launch/run_report/measured_trace.h"
#include "launch/settings/parts.h"
#include "models/model.h"
#include "runtime/core/printable.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;

// The tokenizer lies beside the weights, wherever the config's path leads by now.
Config config_of(const fs::path& folder) {
  std::vector<std::string> overrides;
  if (std::error_code absent; fs::exists(folder / "tokenizer", absent))
    overrides.push_back("tokenizer.path=" + toml_quoted((folder / "tokenizer").string(), "the tokenizer"));
  return Config::from_file((folder / "config.toml").string(), overrides);
}

}  // namespace

TimelineGroup simulated_step(const Plan& plan, const SimulationCosts& costs) {
  constexpr int steps = 4, shown = 2;  // the third: full, and not the last
  const Simulation simulation = simulate(plan, costs, steps, true);
  double start = std::numeric_limits<double>::infinity();
  for (const SimulatedAction& action : simulation.timeline)
    if (action.step == shown && action.end > action.begin) start = std::min(start, action.begin);
  TimelineGroup group;
  group.rows.resize(plan.ranks.size());
  const bool with_stage = !plan.shape.placement.is_one_each();
  for (size_t rank = 0; rank < plan.ranks.size(); ++rank) group.row_names.push_back(message("rank ", rank));
  for (const SimulatedAction& timed : simulation.timeline) {
    if (timed.step != shown || timed.end <= timed.begin) continue;
    const Action& action = plan.ranks[static_cast<size_t>(timed.rank)][static_cast<size_t>(timed.index)];
    group.rows[static_cast<size_t>(timed.rank)].push_back(
        bar_of(text_of(action, plan.flows), timed.begin - start, timed.end - start, with_stage));
  }
  return group;
}

std::optional<Replay> replay_of(const std::string& folder, std::string& why) {
  try {
    const RunSettings settings = read_settings(config_of(folder));
    const auto model = make_model(settings, *make_dataset(settings));
    Plan plan = make_plans(settings, *model).front().plan;
    SimulationCosts costs = read_costs((fs::path(folder) / "costs.json").string(), settings.parallel.shape.stages);
    Simulation steady = simulate(plan, costs);
    TimelineGroup timeline = simulated_step(plan, costs);
    return Replay{std::move(plan), std::move(costs), std::move(steady), std::move(timeline)};
  } catch (const Error& error) {
    why = error.what();
    return std::nullopt;
  }
}

}  // namespace interlock
