#include "launch/comparison/step_timeline.h"

#include <filesystem>

#include "launch/forecast/run_plans.h"
#include "launch/page/markup.h"
#include "launch/plan_report/plan_costs.h"
#include "launch/run_report/measured_trace.h"
#include "launch/run_report/replay.h"
#include "launch/settings/parts.h"
#include "models/model.h"
#include "runtime/core/error.h"

namespace interlock {

namespace fs = std::filesystem;

std::optional<TimelinePicture> timeline_of(const GroupOutcome& group, const RunSettings& settings) {
  TimelinePicture picture{message(group.group.label(), ", ", group.group.stages, " stages"), "", {}};
  const auto done = group.done();
  std::string why;
  if (!done.empty())
    if (const auto trace = read_trace((fs::path(done.front()->arm.folder) / "trace.json").string(), why)) {
      const int64_t step = typical_step(*trace);
      picture.groups.push_back(measured_step(*trace, step));
      picture.groups.back().name = message("measured, step ", step, " of seed ", done.front()->arm.seed);
      picture.words = message(
          "Measured: ", duration(done.front()->run->seconds() / static_cast<double>(done.front()->run->rows.size())),
          " a step on average. ");
    }
  if (group.cost) {
    const auto model = make_model(settings, *make_dataset(settings));
    const SimulationCosts costs =
        read_costs((fs::path(group.costs_folder) / "costs.json").string(), group.group.stages);
    picture.groups.push_back(simulated_step(make_plans(settings, *model).back().plan, costs));
    picture.groups.back().name = "simulated, one core or GPU per rank, from costs measured on one rank";
    picture.words +=
        message("Simulated: ", duration(group.cost->step), " a step, ranks idle ", percent(group.cost->idle_share));
    const double calibration = group.cost->calibration;
    picture.words +=
        calibration == 1 ? "." : message("; the tables have it times ", fixed(calibration, 2), " (calibrated).");
  }
  if (picture.groups.empty()) return std::nullopt;
  return picture;
}

}  // namespace interlock
