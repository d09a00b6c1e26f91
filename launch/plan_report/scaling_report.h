#pragma once
// What `interlock plan --sweep` tells: for people as text, for programs as JSON, and as a picture.

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "launch/forecast/scaling.h"

namespace interlock {

struct ScalingReport {
  std::vector<ScalingPoint> points;
  std::string costs;      // a sentence: where they come from
  std::string links;      // and what links are taken for
  std::string schedules;  // and by what a schedule is chosen
};
// Of the keys that say it.
std::string schedules_of(const ParallelSettings& parallel);

std::string scaling_text(const ScalingReport& report);
// A list of {"scaling", "ranks", "rule", "schedule", "step", "sum", "efficiency", "replicas", "microbatches"}, of the
// runs that there can be.
nlohmann::json scaling_json(const ScalingReport& report);
// Efficiency against ranks: weak above strong, a line for each rule.
std::string scaling_svg(const ScalingReport& report, const std::string& title);

}  // namespace interlock
