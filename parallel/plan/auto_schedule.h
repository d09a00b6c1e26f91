#pragma once
// The choice of a schedule: every registered one that has an order for the shape is simulated, and the fastest that
// fits into memory is taken. It depends on nothing but the arguments, so all ranks choose the same one.

#include <string>
#include <vector>

#include "parallel/plan/simulate.h"

namespace interlock {

struct Candidate {
  std::string schedule;
  int in_flight = 0;  // the limit it was given; 0: its own choice
  double step = 0, idle_share = 0;
  double peak_bytes = 0;  // of the rank that needs most
  bool fits = true;       // into memory, and into the limit of microbatches in flight
};

struct ScheduleChoice {
  Plan plan;
  std::vector<Candidate> candidates;  // the fastest first
  std::vector<std::string> refused;   // of schedules that have no order for the shape: sentences
  int judged_microbatches = 0;  // of plans too large to simulate all: with so many; times and memory go on from there
};

struct MemoryLimit {
  double bytes = 0;             // of every rank; 0: none
  std::vector<double> besides;  // per rank: what it holds that its plan does not count; empty: nothing
};

// `request.schedule`: "auto", or a name: then that alone is looked at. Where memory has no room for what a schedule
// keeps in flight by itself, and it takes a limit, the largest that has room is tried. Of equally fast ones the one
// with the least memory is taken, then the one with the fewest actions. Error(config) as make_plan, and where nothing
// fits: it begins with parallel.memory_mib and says the least that works.
ScheduleChoice choose_schedule(const PlanRequest& request, const SimulationCosts& costs,
                               const MemoryLimit& memory = {});

}  // namespace interlock
