#pragma once
// How long each group takes to losses that global learning reaches on its way, and what each has at equal budgets.

#include <optional>
#include <vector>

#include "launch/comparison/outcome.h"

namespace interlock {

// Validation losses that global has after half, three quarters and all of its steps (without it the first group), mean
// over seeds; for each number of stages its own.
std::vector<double> targets_at(const Outcome& outcome, int stages);

struct TargetRow {
  size_t group = 0;
  double target = 0;
  int reached = 0, seeds = 0;
  // Means over the seeds that reached it; none where none did, or no costs are known.
  std::optional<double> steps = {}, measured_seconds = {}, simulated_seconds = {}, flops = {};
};
std::vector<TargetRow> target_rows(const Outcome& outcome);

// Mean validation loss over seeds when each group may spend as much as the cheapest group of as many stages spends in
// all its steps.
struct FrameRow {
  size_t group = 0;
  std::optional<double> at_steps, at_flops, at_measured_time, at_simulated_time;
};
std::vector<FrameRow> frame_rows(const Outcome& outcome);

// Groups of as many stages to which none is better in both mean test loss and cost; those without either are left out.
std::vector<CostAndLoss> group_front(const Outcome& outcome, int stages, double (*cost)(const GroupOutcome&));
double planned_mib(const GroupOutcome& group);  // tensors of the hungriest rank; 0: not known

double measured_step(const GroupOutcome& group);  // seconds, mean over arms; 0: none is done

}  // namespace interlock
