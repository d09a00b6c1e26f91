#include "parallel/plan/pair_order.h"

#include <algorithm>
#include <map>
#include <set>

#include "parallel/plan/passes.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

using Pair = std::pair<int, int>;  // from, to

Pair pair_of(const Plan& plan, const Action& action) {
  const int sender = plan.shape.rank_of(carried(action).stage);
  switch (action.kind) {
    case Kind::send_forward:
      return {sender, plan.shape.rank_of(action.stage + 1)};
    case Kind::send_backward:
      return {sender, plan.shape.rank_of(action.stage - 1)};
    default:
      return {sender, plan.shape.rank_of(action.stage)};
  }
}

bool carry_the_same(const Action& send, const Action& receive) {
  const Need sent = carried(send), received = carried(receive);
  return sent.stage == received.stage && sent.part == received.part && send.microbatch == receive.microbatch;
}

}  // namespace

std::optional<PlanFault> find_pair_fault(const Plan& plan) {
  std::map<Pair, std::vector<Action>> receives;  // in the order of their posts
  for (const std::vector<Action>& actions : plan.ranks)
    for (const Action& action : actions)
      if (is_receive(action.kind)) receives[pair_of(plan, action)].push_back(action);
  std::map<Pair, size_t> sent;
  for (int rank = 0; rank < plan.shape.ranks; ++rank) {
    for (size_t i = 0; i < plan.ranks[rank].size(); ++i) {
      const Action& send = plan.ranks[rank][i];
      if (!is_send(send.kind)) continue;
      const Pair pair = pair_of(plan, send);
      const Action& receive = receives[pair].at(sent[pair]++);
      if (carry_the_same(send, receive)) continue;
      return PlanFault{rank, static_cast<int64_t>(i),
                       message(text_of(send, plan.flows), " is message ", sent[pair] - 1, " to rank ", pair.second,
                               ", which posts ", text_of(receive, plan.flows),
                               " at that place: over this transport, messages between two ranks keep one order")};
    }
  }
  return std::nullopt;
}

void check_pair_order(const Plan& plan) {
  if (const auto fault = find_pair_fault(plan)) {
    throw Error(ExitCode::config, message("the plan cannot run over this transport\n", show_fault(plan, *fault),
                                          "\nparallel.transport = \"mpi\" can run it"));
  }
}

std::vector<std::pair<int, int>> message_pairs(const PlanShape& shape) {
  std::set<Pair> pairs;
  for (int replica = 0; replica < shape.replicas; ++replica) {
    for (int stage = 0; stage + 1 < shape.stages; ++stage) {
      const int below = replica * shape.ranks + shape.rank_of(stage);
      const int above = replica * shape.ranks + shape.rank_of(stage + 1);
      if (below != above) pairs.insert({{below, above}, {above, below}});
    }
  }
  return {pairs.begin(), pairs.end()};
}

}  // namespace interlock
