// The proof, in three passes over the plan. First each rank's list by itself: what is in it, once, and after what it
// needs. Then each lane (one direction of one boundary, one stream): receives in the order of the sends. Then a run
// with rendezvous sends, which must come to its end. Each pass may rely on what the one before it has proved.

#include "parallel/plan/plan_check.h"

#include <algorithm>

#include "parallel/plan/rank_check.h"
#include "parallel/plan/rendezvous.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

std::optional<PlanFault> find_lane_fault(const Plan& plan) {
  const Values values(plan.flows, plan.shape.microbatches);
  const int64_t microbatches = plan.shape.microbatches;
  // A lane is the part that crosses. Per lane, the microbatches in the order in which their receives are posted.
  std::vector<int32_t> received(values.size());
  std::vector<int32_t> receives(values.parts(), 0), sends(values.parts(), 0);
  for (const std::vector<Action>& actions : plan.ranks) {
    for (const Action& action : actions) {
      if (!is_receive(action.kind)) continue;
      const Need need = carried(action);
      const int64_t lane = values.part(need.stage, need.part);
      received[lane * microbatches + receives[lane]++] = action.microbatch;
    }
  }
  for (int rank = 0; rank < plan.shape.ranks; ++rank) {
    const std::vector<Action>& actions = plan.ranks[rank];
    for (size_t i = 0; i < actions.size(); ++i) {
      const Action& action = actions[i];
      if (!is_send(action.kind)) continue;
      const Need need = carried(action);
      const int64_t lane = values.part(need.stage, need.part);
      const int32_t expected = received[lane * microbatches + sends[lane]++];
      if (expected == action.microbatch) continue;
      const int to = plan.shape.rank_of(action.kind == Kind::send_forward ? action.stage + 1 : action.stage - 1);
      return PlanFault{rank, static_cast<int64_t>(i),
                       message(text_of(action, plan.flows), " is message ", sends[lane] - 1, " of its lane, but rank ",
                               to, " posts the receive of microbatch ", expected,
                               " at that place: both sides must keep the same order")};
    }
  }
  return std::nullopt;
}

std::optional<PlanFault> find_deadlock(const Plan& plan) {
  Rendezvous run(plan);
  run.run();
  int rank = 0;
  while (rank < plan.shape.ranks && run.finished(rank)) ++rank;
  if (rank == plan.shape.ranks) return std::nullopt;
  // Who waits for whom ends in a circle: follow it as often as there are ranks, then go around once more to tell it.
  for (int hop = 0; hop < plan.shape.ranks; ++hop) rank = run.waits_for(rank) < 0 ? rank : run.waits_for(rank);
  std::string reason = "deadlock:";
  int member = rank;
  for (int told = 0; told < 8 && (told == 0 || member != rank); ++told) {
    if (run.finished(member) || run.waits_for(member) < 0) break;
    const Action& action = plan.ranks[member][run.position(member)];
    reason += message(told ? "; rank " : " rank ", member, " stands at ", text_of(action, plan.flows), " and ",
                      run.reason(member));
    member = run.waits_for(member);
  }
  if (member != rank) reason += "; and so on";
  return PlanFault{rank, run.position(rank), reason};
}

}  // namespace

std::optional<PlanFault> find_fault(const Plan& plan) {
  if (static_cast<int>(plan.ranks.size()) != plan.shape.ranks) {
    return PlanFault{0, 0,
                     message("the plan holds ", plan.ranks.size(), " ranks, but its shape says ", plan.shape.ranks)};
  }
  if (auto fault = find_rank_fault(plan)) return fault;
  if (auto fault = find_lane_fault(plan)) return fault;
  return find_deadlock(plan);
}

void plan_check(const Plan& plan) {
  plan.shape.check();
  if (const auto fault = find_fault(plan)) {
    throw Error(ExitCode::bad_input, "the plan cannot run\n" + show_fault(plan, *fault));
  }
}

}  // namespace interlock
