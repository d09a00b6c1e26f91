// From an order of compute to a plan that cannot deadlock, by construction.
//
// The order is run once with unit costs. That gives every compute action a start and an end, and so one line T of all
// actions of all ranks, sorted by time. A send stands in T at the end of the action that makes its value, behind it in
// the list of its rank. The receive stands in T at the start of what its rank is doing at that moment (strictly earlier
// than the send, so that the transfer overlaps that work), or directly before the send when the rank is waiting. So
// every rank's list is T reduced to that rank, and in T every receive precedes its send and every send the action that
// uses it. Performing such lists never deadlocks even if sends block until their receive is posted: the earliest action
// of T that is not yet done can always go on. Step after step follows T after T. REDUCE_GRAD, REDUCE_TIED, REDUCE_NORM
// and U stand at the end of a stage or of T, after all sends they must not hold up, and in the same order in every
// replica.

#include "parallel/plan/lower.h"

#include <algorithm>
#include <functional>
#include <queue>

#include "parallel/plan/deferred_weights.h"
#include "parallel/plan/passes.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

struct Posted {
  int64_t before;  // index in the rank's order of compute
  Action receive;
};

// Runs the order in time and finds the place of every receive.
class UnitRun {
 public:
  UnitRun(const Plan& plan, const std::vector<std::vector<Action>>& order)
      : plan_(plan),
        order_(order),
        deferred_(plan.flows, plan.shape.microbatches, order),
        values_(plan.flows, plan.shape.microbatches),
        rank_of_(plan.shape.placement.rank_of_stage()),
        made_(values_.size(), false),
        ranks_(plan.shape.ranks) {
    posted.resize(plan.shape.ranks);
  }

  void run() {
    std::vector<int> awake(ranks_.size());
    for (size_t rank = 0; rank < awake.size(); ++rank) awake[rank] = static_cast<int>(rank);
    while (true) {
      for (int rank : awake) start_next(rank);
      if (ends_.empty()) break;
      now_ = ends_.top().first;
      awake.clear();
      // All that ends now is finished before anything starts, so the result does not depend on the order of ranks.
      while (!ends_.empty() && ends_.top().first == now_) {
        const int rank = ends_.top().second;
        ends_.pop();
        ranks_[rank].busy = false;
        awake.push_back(rank);
        finish(rank, order_[rank][ranks_[rank].next - 1], awake);
      }
    }
    for (size_t rank = 0; rank < ranks_.size(); ++rank) refuse_unfinished(static_cast<int>(rank));
  }

  std::vector<std::vector<Posted>> posted;  // per rank, in order

 private:
  struct RankState {
    int64_t next = 0;  // actions started
    int64_t end = -1;  // of the last action that takes time
    bool busy = false;
  };

  bool ready(const Action& action) const {
    bool all = true;
    visit_needs(plan_.flows, action,
                [&](const Need& need) { all = all && made_[values_.at(need.stage, need.part, action.microbatch)]; });
    return all;
  }

  void start_next(int rank) {
    RankState& state = ranks_[rank];
    const std::vector<Action>& order = order_[rank];
    while (!state.busy && state.next < static_cast<int64_t>(order.size()) && ready(order[state.next])) {
      const Action& action = order[state.next++];
      const int64_t cost = unit_cost(action.kind, deferred_.is_deferred(action));
      if (cost == 0) {
        mark_made(action);
        continue;
      }
      state.busy = true;
      state.end = now_ + cost;
      ends_.push({state.end, rank});
    }
  }

  void mark_made(const Action& action) {
    visit_made(action, [&](int part) { made_[values_.at(action.stage, part, action.microbatch)] = true; });
  }

  void finish(int rank, const Action& action, std::vector<int>& awake) {
    mark_made(action);
    Action receive = action;
    if (action.kind == Kind::forward && action.stage + 1 < plan_.shape.stages) {
      receive.kind = Kind::receive_forward;
      receive.stage = action.stage + 1;
    } else if (action.kind == Kind::input_gradient || action.kind == Kind::backward) {
      receive.kind = Kind::receive_backward;
      receive.stage = action.stage - 1;
    } else {
      return;
    }
    const int receiver = rank_of_[receive.stage];
    if (receiver == rank) return;
    const RankState& other = ranks_[receiver];
    const bool working = other.end >= now_;
    posted[receiver].push_back({working ? other.next - 1 : other.next, receive});
    awake.push_back(receiver);
  }

  void refuse_unfinished(int rank) const {
    const int64_t next = ranks_[rank].next;
    if (next == static_cast<int64_t>(order_[rank].size())) return;
    throw Error(ExitCode::config, message("this order of compute can never run: rank ", rank, " waits for ever at ",
                                          text_of(order_[rank][next], plan_.flows),
                                          ", because something it works on is made later or never"));
  }

  const Plan& plan_;
  const std::vector<std::vector<Action>>& order_;
  const DeferredWeights deferred_;
  Values values_;
  const std::vector<int>& rank_of_;
  std::vector<bool> made_;
  std::vector<RankState> ranks_;
  std::priority_queue<std::pair<int64_t, int>, std::vector<std::pair<int64_t, int>>, std::greater<>> ends_;
  int64_t now_ = 0;
};

// Writes the list of one rank: compute, receives at their places, sends after what makes them, and the closing actions.
class RankWriter {
 public:
  RankWriter(const Plan& plan, int rank, const std::vector<int>& rank_of)
      : plan_(plan), rank_(rank), rank_of_(rank_of), left_(plan.shape.stages, 0) {}

  std::vector<Action> write(const std::vector<Action>& order, const std::vector<Posted>& posted) {
    int64_t sends = 0;
    for (const Action& action : order) {
      ++left_[action.stage];
      Action send;
      sends += send_of(action, send);
    }
    const std::vector<int> own = plan_.shape.stages_of(rank_);
    list_.reserve(order.size() + posted.size() + sends + 2 * own.size() + 1);
    size_t next_receive = 0;
    for (int64_t i = 0; i < static_cast<int64_t>(order.size()); ++i) {
      for (; next_receive < posted.size() && posted[next_receive].before <= i; ++next_receive) {
        list_.push_back(posted[next_receive].receive);
      }
      list_.push_back(order[i]);
      Action send;
      if (send_of(order[i], send)) list_.push_back(send);
      if (--left_[order[i].stage] == 0) close_stage(order[i].stage);
    }
    if (plan_.evaluation) return std::move(list_);
    const auto tied = std::find_if(own.begin(), own.end(), [&](int stage) { return is_tied(plan_, stage); });
    if (tied != own.end()) list_.push_back({Kind::reduce_tied, *tied, -1, -1});
    if (plan_.norm_over_model) list_.push_back({Kind::reduce_norm, own.front(), -1, -1});
    for (int stage : own) {
      if (trains(plan_, stage) && updates_last(stage)) list_.push_back({Kind::update, stage, -1, -1});
    }
    return std::move(list_);
  }

 private:
  bool send_of(const Action& action, Action& send) const {
    send = action;
    int to = action.stage;
    if (action.kind == Kind::forward) {
      send.kind = Kind::send_forward;
      ++to;
    } else if (action.kind == Kind::input_gradient || action.kind == Kind::backward) {
      send.kind = Kind::send_backward;
      --to;
    } else {
      return false;
    }
    return to < plan_.shape.stages && rank_of_[to] != rank_;
  }

  void close_stage(int stage) {
    if (!trains(plan_, stage)) return;
    if (plan_.shape.replicas > 1) list_.push_back({Kind::reduce_gradient, stage, -1, -1});
    if (!updates_last(stage)) list_.push_back({Kind::update, stage, -1, -1});
  }
  // Its update waits for other ranks.
  bool updates_last(int stage) const { return plan_.norm_over_model || is_tied(plan_, stage); }

  const Plan& plan_;
  int rank_;
  const std::vector<int>& rank_of_;
  std::vector<int64_t> left_;  // compute actions still to write, per stage
  std::vector<Action> list_;
};

}  // namespace

void lower(Plan& plan, const std::vector<std::vector<Action>>& order) {
  UnitRun run(plan, order);
  run.run();
  const std::vector<int>& rank_of = plan.shape.placement.rank_of_stage();
  plan.ranks.clear();
  for (int rank = 0; rank < plan.shape.ranks; ++rank) {
    plan.ranks.push_back(RankWriter(plan, rank, rank_of).write(order[rank], run.posted[rank]));
    run.posted[rank] = {};
  }
}

}  // namespace interlock
