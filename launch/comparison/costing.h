#pragma once
// What a step of a group costs: operations counted, time replayed with a core (or GPU) for every rank, memory planned.

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "launch/settings/run_settings.h"
#include "parallel/plan/simulate.h"

namespace interlock {

struct RunRecord;
class WeightsSet;

// Floating-point operations of one step over all replicas, by the model's own counts: every forward pass, head, stream
// that is handed on and weight gradient of the plan, recomputation included; optimizer and norms are not counted.
double flops_of_step(const RunSettings& settings);

struct StepCost {
  double step = 0, idle_share = 0;   // simulated, steady
  double peak_mib = 0;               // of the rank that needs most: tensors, as planned
  double calibration = 1;            // of the run on one rank: its measured step over its simulated one
  double longest_message_bytes = 0;  // of what passes between two stages
  std::string schedule;
};

// The plan of `settings` with the costs in `costs_folder`, a run of the same stages on one rank, whose actions nobody
// disturbed. None where that run is not there: `why`.
std::optional<StepCost> replayed(const RunSettings& settings, const std::string& costs_folder, std::string& why);

// Seconds of a step as measured, without the first, which touches its memory first; none of fewer than three.
std::optional<double> steady_step(const RunRecord& run);

// The step with those costs; `bytes_per_second` between ranks: 0 leaves the costs' own.
double simulated_step(const RunSettings& settings, const std::string& costs_folder, double bytes_per_second = 0);

// What a sweep finds: what was varied, and a step with it in seconds.
using StepsBy = std::vector<std::pair<double, double>>;

// From how many microbatches on global learning is at least as fast: from operation counts, and from measured costs.
// Negative: never, up to `most`; 0: from the first on.
struct BreakEven {
  double counted = 0, replayed = 0;
  int most = 0;
};
BreakEven break_even_of(const RunSettings& settings, const std::string& costs_folder);

// Costs of one short run differ by some per cent from those of the next: times are told apart beyond this share alone.
inline constexpr double beyond_noise = 0.95;

// The same, of numbers that both were measured at: from `above` to `at_most` global comes to be as fast but for noise,
// and stays so. No `above`: it is so at the least of them already; no `at_most`: at none.
struct MeasuredBreakEven {
  std::optional<double> above, at_most;
};
std::optional<MeasuredBreakEven> measured_break_even(const StepsBy& rule, const StepsBy& global);

// Digests of what arms of one seed and cut share: start values, and samples in their order.
struct SharedParts {
  std::string start_values, samples;
  std::vector<int> cut;  // units per stage
  int64_t parameters = 0;
};
// `dataset` is open; `weights`: what all arms start from, null: nothing but their seeds.
SharedParts shared_parts(const RunSettings& settings, const Dataset& dataset, const WeightsSet* weights);

}  // namespace interlock
