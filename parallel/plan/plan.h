#pragma once
// A plan: for every rank of one replica the ordered list of actions of one training step (or one evaluation). It is
// data: lowered from a schedule's order of compute, proved by plan_check, timed by simulate, printed, parsed, and
// performed by the one engine. All replicas perform the same plan. Steps follow one another without a barrier.

#include <memory>
#include <string>
#include <vector>

#include "parallel/plan/action.h"
#include "parallel/plan/learning_rule.h"
#include "parallel/plan/placement.h"

namespace interlock {

struct PlanShape {
  int stages = 1, ranks = 1, replicas = 1, microbatches = 1;
  // Made for the sizes above: who changes them gives another one (check notices).
  Placement placement = Placement::named("contiguous", stages, ranks);
  int rank_of(int stage) const { return placement.rank_of_stage()[stage]; }
  std::vector<int> stages_of(int rank) const { return placement.stages_of(rank); }  // ascending
  // Error(config): a size below 1 or beyond any run, ranks that do not divide the stages under a named placement, and
  // what Placement::check refuses.
  void check() const;
};

struct Plan {
  PlanShape shape;
  LearningRule rule;
  Flows flows;
  HeadPolicy heads = HeadPolicy::needed;
  std::string schedule;          // name, or "by hand"
  bool norm_over_model = false;  // clipping needs the norm of all stages: every step flushes
  bool tied = false;             // first and last stage share a tensor: every step flushes
  bool evaluation = false;       // forward and the last loss only
  std::vector<std::vector<Action>> ranks;

  // Messages per step and replica over boundary k -> k+1 (forward) and k+1 -> k (backward), k = 0..stages-2, boundaries
  // inside one rank included.
  std::vector<int64_t> forward_messages() const;
  std::vector<int64_t> backward_messages() const;
  // Microbatches alive at each stage at most: forward begun (its input is there), last pass through it not yet done. A
  // receive that is only posted does not count.
  std::vector<int> in_flight() const;
};

struct PlanRequest {
  PlanShape shape;
  LearningRule rule;
  HeadPolicy heads = HeadPolicy::needed;
  std::string schedule = "wavefront";  // or "auto"
  int in_flight = 0;  // microbatches alive at a stage at most, of a schedule that takes such a limit; 0: its choice
  bool norm_over_model = false;
  bool tied = false;
};

// Schedule -> lower -> plan_check; "auto" by unit costs (auto_schedule.h has other costs). Error(config) that begins
// with the key: an unknown schedule, one that has no order for the shape, a limit that it does not take or that is out
// of range.
Plan make_plan(const PlanRequest& request);
// All of it but its actions.
Plan without_actions(const PlanRequest& request);
// Whether the schedule has an order for the shape, and takes the limit. Error(config) as make_plan.
void check_schedule(const PlanShape& shape, const std::string& schedule, int in_flight);
// Forward of every microbatch and the last stage's loss, in order, on the same placement.
Plan make_evaluation_plan(const PlanShape& shape, const LearningRule& rule);

// The text form: a header of `key value` lines and one line of actions per rank. parse_plan(print_plan(p)) equals p.
std::string print_plan(const Plan& plan);
// Error(bad_input) names `file`, the line and the word. The plan is parsed, not proved.
Plan parse_plan(const std::string& text, const std::string& file);

}  // namespace interlock
