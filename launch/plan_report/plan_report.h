#pragma once
// What `interlock plan` tells about one plan: for people as text, for programs as JSON.

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "launch/forecast/machine_memory.h"
#include "launch/forecast/memory_footprint.h"
#include "launch/plan_report/depth_advice.h"
#include "launch/plan_report/timeline.h"
#include "models/unit.h"
#include "parallel/plan/auto_schedule.h"
#include "parallel/plan/plan.h"
#include "parallel/plan/simulate.h"
#include "parallel/plan/step_bounds.h"

namespace interlock {

struct PlanReport {
  Plan plan;
  ScheduleChoice choice;         // candidates and refusals, where the schedule was chosen; its plan is `plan`
  bool looks_together = false;   // after each step all ranks look whether it was finite (run.on_divergence)
  int64_t memory_limit_mib = 0;  // that they were held to; 0: none
  StepBounds bounds;
  Simulation simulation;  // of a steady step
  Simulation picture;     // from a standing start, with its timeline
  int picture_steps = 0;
  std::optional<Simulation> global;  // the same under `global`; absent for the global rule itself, plans by hand, and
                                     // where it does not fit into memory
  std::string schedule_of_global;
  std::optional<double> break_even;  // as break_even_microbatches; present with `global`
  bool break_even_by_formula = false;
  int most_tried = 0;  // microbatches up to which a break-even was searched
  TimeUnit unit;
  std::string costs;        // a sentence: where the costs come from
  std::vector<int> blocks;  // units per stage; empty when no model is known
  Unit cut_unit = Unit::block;

  // Of a known model: what each rank will hold, on top of `empty_rank` bytes (0: not measured), and how many numbers
  // learn.
  std::vector<MemoryFootprint> memory;
  double empty_rank = 0;
  // All ranks of the run on this machine, against what it has (0 bytes: not known).
  double together = 0;
  int processes = 0;
  MachineMemory machine;
  int64_t parameters = 0, trained_parameters = 0;
  // Of a model whose layers techniques leave out now and then: how many it has, and how many of them run in the long
  // run. Costs count these, memory all.
  struct Layers {
    int64_t count = 0;
    double expected = 0;
  };
  std::optional<Layers> layers;
  // Copies of the readout that local heads read through: on how many ranks, how large, and how often they are sent.
  struct Readout {
    int ranks = 0;
    double bytes = 0;
    int64_t refresh_every = 0;
  };
  std::optional<Readout> readout;

  std::optional<DepthAdvice> advice;  // where it was asked for

  // A later rule of the run, and its plan.
  struct Change {
    int64_t at_step = 2;
    Plan plan;
    Simulation simulation;
  };
  std::vector<Change> changes;
};

// `columns` bounds the width of the timeline.
std::string report_text(const PlanReport& report, int columns);
nlohmann::json report_json(const PlanReport& report);

// Parts of it, for report_text.
std::string memory_text(const PlanReport& report);
std::string size_text(double bytes);
std::string candidates_text(const PlanReport& report);
std::string comparison_text(const PlanReport& report);
std::string break_even_text(const PlanReport& report);
std::string percent_text(double share);

}  // namespace interlock
