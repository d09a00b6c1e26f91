// Shapes, counts derived from a plan, and the way from a request to a proved plan.

#include "parallel/plan/plan.h"

#include <algorithm>

#include "parallel/plan/auto_schedule.h"
#include "parallel/plan/evaluation_order.h"
#include "parallel/plan/lower.h"
#include "parallel/plan/passes.h"
#include "parallel/plan/plan_check.h"
#include "parallel/plan/schedule.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

// Far beyond any run; they keep a mistyped or hostile size from asking for all memory.
constexpr int most_stages = 1 << 16;
constexpr int most_replicas = 1 << 20;
constexpr int64_t most_forwards = int64_t{1} << 26;  // stages x microbatches

void check_size(const char* key, int value, int64_t most) {
  if (value < 1 || value > most) {
    throw Error(ExitCode::config, message("parallel.", key, " = ", value, ": it must be from 1 to ", most));
  }
}

}  // namespace

void check_schedule(const PlanShape& shape, const std::string& name, int in_flight) {
  const int most = 2 * shape.stages - 1;
  if (in_flight < 0 || in_flight > most)
    throw Error(ExitCode::config,
                message("parallel.in_flight = ", in_flight, ": it must be from 0 (the schedule's choice) to ", most,
                        ", 2 x stages - 1: more microbatches alive at a stage are of no use to any order"));
  if (name == auto_schedule) return;
  const auto schedule = Schedules::instance().create("schedule", name);
  if (const std::string refusal = schedule->refusal(shape); !refusal.empty()) throw Error(ExitCode::config, refusal);
  if (in_flight > 0 && !schedule->takes_in_flight())
    throw Error(ExitCode::config, message("parallel.in_flight = ", in_flight, ": schedule \"", name,
                                          "\" has no such limit; \"zero_bubble\", \"steady\" and \"auto\" have"));
}

void PlanShape::check() const {
  check_size("stages", stages, most_stages);
  check_size("ranks", ranks, most_stages);
  check_size("replicas", replicas, most_replicas);
  check_size("microbatches", microbatches, most_forwards / stages);
  if (ranks > stages) {
    throw Error(ExitCode::config, message("parallel.ranks = ", ranks, ", but there are only ", stages, " stage",
                                          stages == 1 ? "" : "s", " to hold: use at most ", stages, " ranks"));
  }
  if (!placement.is_by_hand() && stages % ranks != 0) {
    std::vector<std::string> fitting;
    for (int candidate = 1; candidate <= stages; ++candidate) {
      if (stages % candidate == 0) fitting.push_back(std::to_string(candidate));
    }
    throw Error(ExitCode::config, message("parallel.ranks = ", ranks, " does not divide parallel.stages = ", stages,
                                          ": each rank holds equally many stages. Ranks that fit: ", join(fitting)));
  }
  placement.check(stages, ranks);
}

std::vector<int64_t> Plan::forward_messages() const {
  return std::vector<int64_t>(shape.stages - 1, shape.microbatches);
}

std::vector<int64_t> Plan::backward_messages() const {
  std::vector<int64_t> messages(shape.stages - 1, 0);
  for (int stage = 1; stage < shape.stages; ++stage) {
    messages[stage - 1] = int64_t{streams_out(*this, stage)} * shape.microbatches;
  }
  return messages;
}

std::vector<int> Plan::in_flight() const {
  const int microbatches = shape.microbatches;
  std::vector<int> alive(shape.stages, 0), most(shape.stages, 0);
  // Parts still to be made before (stage, microbatch) is forgotten.
  std::vector<int> left(int64_t{shape.stages} * microbatches, 0);
  for (const std::vector<Action>& actions : ranks) {
    for (const Action& action : actions) {
      if (action.kind > Kind::backward) continue;
      int& mine = left[int64_t{action.stage} * microbatches + action.microbatch];
      int& now = alive[action.stage];
      if (action.kind == Kind::forward) {
        mine = parts_after_forward(*this, action.stage);
        most[action.stage] = std::max(most[action.stage], ++now);
      } else {
        mine -= parts_made(action);
      }
      if (mine == 0) --now;
    }
  }
  return most;
}

std::vector<std::string> schedule_names() {
  std::vector<std::string> names = Schedules::instance().names();
  names.insert(std::ranges::lower_bound(names, auto_schedule), auto_schedule);
  return names;
}

Plan make_plan(const PlanRequest& request) {
  if (request.schedule == auto_schedule)
    return choose_schedule(request, SimulationCosts::unit(request.shape.stages)).plan;
  Plan plan = without_actions(request);
  check_schedule(request.shape, request.schedule, request.in_flight);
  lower(plan, Schedules::instance().create("schedule", request.schedule)->order(plan, request.in_flight));
  plan_check(plan);
  return plan;
}

Plan without_actions(const PlanRequest& request) {
  request.shape.check();
  if (request.rule.stages() != request.shape.stages) {
    throw Error(ExitCode::config, message("the learning rule is written for ", request.rule.stages(),
                                          " stages, but parallel.stages = ", request.shape.stages));
  }
  Plan plan;
  plan.shape = request.shape;
  plan.rule = request.rule;
  plan.heads = request.heads;
  plan.flows = derive_flows(request.rule, request.heads);
  plan.schedule = request.schedule;
  plan.norm_over_model = request.norm_over_model;
  plan.tied = request.tied;
  return plan;
}

Plan make_evaluation_plan(const PlanShape& shape, const LearningRule& rule) {
  shape.check();
  Plan plan;
  plan.shape = shape;
  plan.rule = rule;
  plan.flows = derive_flows(rule, HeadPolicy::needed);
  plan.schedule = "evaluation";
  plan.evaluation = true;
  lower(plan, evaluation_order(shape));
  plan_check(plan);
  return plan;
}

}  // namespace interlock
