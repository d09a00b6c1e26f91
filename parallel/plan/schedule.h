#pragma once
// A schedule decides only the order of compute on each rank. Communication, reduction and updates are added by lower.
// One schedule per file in schedules/, registered by name.

#include <string>
#include <vector>

#include "parallel/plan/plan.h"
#include "runtime/core/registry.h"

namespace interlock {

class Schedule {
 public:
  virtual ~Schedule() = default;
  // Per rank the compute actions F, L, I, W, B of one step, in order. Each stage's W and B, and its L, come with
  // ascending microbatches, so that sums of gradients are the same bits under every schedule. `plan` has all but its
  // actions. `most_in_flight`: microbatches alive at a stage at most, 0: the schedule's choice; only where
  // takes_in_flight.
  virtual std::vector<std::vector<Action>> order(const Plan& plan, int most_in_flight) const = 0;
  // Why it has no order for this shape: a sentence that begins with the key to change, "" where it has one.
  virtual std::string refusal(const PlanShape&) const { return ""; }
  virtual bool takes_in_flight() const { return false; }
};

using Schedules = Registry<Schedule>;

// Of a request that leaves the choice to choose_schedule (auto_schedule.h).
inline constexpr const char* auto_schedule = "auto";
std::vector<std::string> schedule_names();  // all registered ones, and auto

}  // namespace interlock
