// Global learning is compared at its best: microbatches, recomputation and schedule are chosen for it.

#include <algorithm>
#include <cmath>

#include "launch/comparison/comparison.h"
#include "launch/comparison/runner.h"
#include "launch/page/markup.h"
#include "launch/settings/parts.h"
#include "models/model.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

// Running statistics are those of microbatches: of another size they, and the network in training, are others.
bool learns_by_microbatch(const RunSettings& settings) {
  return !make_model(settings, *make_dataset(settings))->body(0, 1)->buffers().empty();
}

}  // namespace

// Ways to the same batch: as many microbatches as the config has, half and up to four times as many where that changes
// nothing that is learned, with and without recomputation.
std::vector<std::vector<std::string>> Comparison::ways_of_global() const {
  const int64_t microbatches = settings_.parallel.shape.microbatches, size = settings_.parallel.batch.microbatch_size;
  std::vector<std::vector<std::string>> ways;
  std::vector<int64_t> counts{microbatches};
  const bool fixed = settings_.config.section("parallel").has("batch_change") || learns_by_microbatch(settings_);
  for (const int64_t count : {microbatches / 2, 2 * microbatches, 4 * microbatches})
    if (!fixed && count >= 1 && count != microbatches && microbatches * size % count == 0 &&
        (count >= microbatches || microbatches % 2 == 0))
      counts.push_back(count);
  std::vector<std::string> recompute{"none", "block"};
  if (settings_.recompute != Recompute::none) recompute = {settings_.config.section("run").text("recompute", "none")};
  for (const int64_t count : counts)
    for (const std::string& again : recompute)
      ways.push_back({message("parallel.microbatches=", count),
                      message("parallel.microbatch_size=", microbatches * size / count), "run.recompute=" + again});
  return ways;
}

void Comparison::choose_global(ArmRunner& runner, GroupOutcome& global, const std::vector<GroupOutcome>& groups,
                               std::vector<std::string>& notes) {
  double limit = static_cast<double>(settings_.parallel.memory_mib);
  if (limit == 0)
    for (const GroupOutcome& other : groups)
      if (!other.group.is_global() && other.group.stages == global.group.stages && other.cost)
        limit = std::max(limit, other.cost->peak_mib);
  const auto held = [&](std::vector<std::string> way) {
    if (limit > 0) way.push_back(message("parallel.memory_mib=", static_cast<int64_t>(std::ceil(limit))));
    return way;
  };
  std::vector<std::string> best;
  std::string why;
  int number = 0;
  for (const auto& way : ways_of_global()) {
    const Arm arm = costs_arm(global.group, message("costs-", ++number), way);
    if (runner.perform(arm) != ArmStatus::done) continue;
    // Of all ways: one that was disturbed may have lost by that.
    global.others_cpu = std::max(global.others_cpu, conditions_of(arm).others_cpu);
    std::vector<std::string> overrides = global.group.overrides;
    const auto within = held(way);
    overrides.insert(overrides.end(), within.begin(), within.end());
    try {
      const RunSettings settings = settings_of(base_, overrides);
      const auto cost = replayed(settings, arm.folder, why);
      global.ways_tried.push_back(message(
          settings_words_of(settings), ": ",
          cost ? message(duration(cost->step * cost->calibration), ", ", significant(cost->peak_mib), " MiB") : why));
      // The plainer way, which comes first, stays unless another is faster beyond noise.
      if (!cost || (global.cost && cost->step * cost->calibration >= beyond_noise * global.simulated_step())) continue;
      global.cost = cost;
      global.costs_folder = arm.folder;
      best = within;
    } catch (const Error& error) {
      why = error.what();
    }
  }
  if (best.empty()) {
    notes.push_back(message("global at ", global.group.stages, " stages: none of its ways fits into the ",
                            significant(limit), " MiB that the other rules need; it runs as the config says (", why,
                            ")"));
    const Arm arm = costs_arm(global.group, "costs-1", ways_of_global().front());
    global.cost = replayed(settings_of(base_, global.group.overrides), arm.folder, global.no_cost);
    global.costs_folder = arm.folder;
    return;
  }
  global.group.overrides.insert(global.group.overrides.end(), best.begin(), best.end());
}

}  // namespace interlock
