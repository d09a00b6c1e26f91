// Times a plan: every rank works off its list, step after step. A send does not hold its rank up unless two earlier
// messages of its lane still lack a receive; a message is there `latency + bytes x seconds_per_byte` after both its
// send and its receive, and no link carries two at once: those from one rank to another go in the order of their sends.
// REDUCE_NORM ends when the last rank has come to it. What a step needs from other ranks comes
// from the same step or earlier ones, so one step is worked out at a time, and a rank that has to wait is taken up
// again when what it waits for is known: every action is looked at once or twice.

#include "parallel/plan/simulate.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <map>

#include "parallel/plan/deferred_weights.h"
#include "parallel/plan/passes.h"
#include "parallel/plan/peak_memory.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

constexpr double unknown = -1.0;  // times are never negative

double cost_of(const Action& action, const StageCosts& costs, const DeferredWeights& deferred) {
  switch (action.kind) {
    case Kind::forward:
      return costs.forward;
    case Kind::loss:
      return costs.loss;
    case Kind::input_gradient:
      return costs.input_gradient;
    case Kind::weight_gradient:
      return (deferred.is_deferred(action) ? 0 : costs.input_gradient) + costs.weight_gradient;
    case Kind::backward:
      return costs.input_gradient + costs.weight_gradient;
    case Kind::update:
      return costs.update;
    default:
      return 0;
  }
}

class Simulator {
 public:
  Simulator(const Plan& plan, const SimulationCosts& costs, const DeferredWeights& deferred, bool keep_timeline)
      : plan_(plan),
        costs_(costs),
        deferred_(deferred),
        keep_timeline_(keep_timeline),
        values_(plan.flows, plan.shape.microbatches),
        rank_of_(plan.shape.placement.rank_of_stage()),
        sent_(values_.size()),
        carried_(values_.size()),
        posted_(values_.size()),
        lanes_(values_.parts()),
        ranks_(plan.shape.ranks) {
    std::map<std::pair<int, int>, size_t> links;
    for (size_t stage = 0; stage + 1 < rank_of_.size(); ++stage)
      for (const bool up : {true, false}) {
        const int below = rank_of_[stage], above = rank_of_[stage + 1];
        const auto key = up ? std::pair(below, above) : std::pair(above, below);
        (up ? link_up_ : link_down_).push_back(links.try_emplace(key, links.size()).first->second);
      }
    link_free_.resize(links.size());
  }

  void run_step(int step) {
    step_ = step;
    std::fill(sent_.begin(), sent_.end(), unknown);
    std::fill(posted_.begin(), posted_.end(), unknown);
    norm_ = {plan_.shape.ranks, std::vector<bool>(ranks_.size(), false)};
    tied_ = {rank_of_.front() == rank_of_.back() ? 1 : 2, std::vector<bool>(ranks_.size(), false)};
    for (RankState& rank : ranks_) rank.position = 0;
    for (size_t rank = ranks_.size(); rank-- > 0;) awake_.push_back(static_cast<int>(rank));
    while (!awake_.empty()) {
      const int rank = awake_.back();
      awake_.pop_back();
      go_on(rank);
    }
    for (int rank = 0; rank < plan_.shape.ranks; ++rank) {
      if (ranks_[rank].position != static_cast<int64_t>(plan_.ranks[rank].size())) {
        throw Error(ExitCode::bad_input, message("this plan cannot be simulated: rank ", rank, " waits for ever at ",
                                                 text_of(plan_.ranks[rank][ranks_[rank].position], plan_.flows)));
      }
    }
    for (Lane& lane : lanes_) remember_posts(lane);
  }

  double latest() const {
    double time = 0;
    for (const RankState& rank : ranks_) time = std::max(time, rank.clock);
    return time;
  }

  std::vector<SimulatedAction> timeline;

 private:
  struct RankState {
    int64_t position = 0;
    double clock = 0;
    int64_t waits_for = -1;  // a value
  };
  // An action that ends when the last of its ranks has come to it.
  struct Meeting {
    int missing = 0;
    std::vector<bool> present;
  };
  // The two messages before the next one: their values while this step lasts, or when their receives were posted.
  struct Lane {
    int64_t value[2] = {-1, -1};
    double posted[2] = {0, 0};
  };

  void go_on(int rank) {
    RankState& state = ranks_[rank];
    state.waits_for = -1;
    const std::vector<Action>& actions = plan_.ranks[rank];
    while (state.position < static_cast<int64_t>(actions.size())) {
      if (!perform(rank, state, actions[state.position])) return;
      ++state.position;
    }
  }

  bool perform(int rank, RankState& state, const Action& action) {
    if (is_send(action.kind)) return send(state, action);
    if (is_receive(action.kind)) {
      const Need need = carried(action);
      const int64_t value = values_.at(need.stage, need.part, action.microbatch);
      posted_[value] = state.clock;
      wake(rank_of_[need.stage], value);
      return true;
    }
    if (action.kind == Kind::reduce_norm || action.kind == Kind::reduce_tied) return meet(rank, action.kind);
    if (action.kind <= Kind::backward && !wait_for_needs(rank, state, action)) return false;
    const double begin = state.clock;
    state.clock += cost_of(action, costs_.stages[action.stage], deferred_);
    if (keep_timeline_ && is_compute(action.kind))
      timeline.push_back({rank, state.position, step_, begin, state.clock});
    return true;
  }

  bool send(RankState& state, const Action& action) {
    const Need need = carried(action);
    const int64_t value = values_.at(need.stage, need.part, action.microbatch);
    Lane& lane = lanes_[values_.part(need.stage, need.part)];
    const double room = lane.value[0] < 0 ? lane.posted[0] : posted_[lane.value[0]];
    if (room == unknown) {
      state.waits_for = lane.value[0];
      return false;
    }
    state.clock = std::max(state.clock, room);
    lane.value[0] = lane.value[1];
    lane.posted[0] = lane.posted[1];
    lane.value[1] = value;
    sent_[value] = state.clock;
    const bool up = action.kind == Kind::send_forward;
    const int boundary = up ? action.stage : action.stage - 1;
    double& link = link_free_[(up ? link_up_ : link_down_)[boundary]];
    link = std::max(link, state.clock) + costs_.stages[boundary].message_bytes * costs_.seconds_per_byte;
    carried_[value] = link + costs_.latency;
    wake(rank_of_[up ? action.stage + 1 : action.stage - 1], value);
    return true;
  }

  // The clock moves to the arrival of the last message the action works on; false when one is not known yet.
  bool wait_for_needs(int rank, RankState& state, const Action& action) {
    double ready = state.clock;
    visit_needs(plan_.flows, action, [&](const Need& need) {
      if (rank_of_[need.stage] == rank || state.waits_for >= 0) return;
      const int64_t value = values_.at(need.stage, need.part, action.microbatch);
      if (sent_[value] == unknown) {
        state.waits_for = value;
        return;
      }
      const int boundary = std::min(need.stage, action.stage);
      const double transfer = costs_.latency + costs_.stages[boundary].message_bytes * costs_.seconds_per_byte;
      ready = std::max({ready, carried_[value], std::max(sent_[value], posted_[value]) + transfer});
    });
    if (state.waits_for >= 0) return false;
    state.clock = ready;
    return true;
  }

  bool meet(int rank, Kind kind) {
    Meeting& here = kind == Kind::reduce_norm ? norm_ : tied_;
    if (here.present[rank]) return here.missing == 0;
    here.present[rank] = true;
    if (--here.missing > 0) return false;
    double all_there = 0;
    for (size_t other = 0; other < ranks_.size(); ++other) {
      if (here.present[other]) all_there = std::max(all_there, ranks_[other].clock);
    }
    // The tied tensors' gradients cross in both directions at once.
    if (kind == Kind::reduce_tied && rank_of_.front() != rank_of_.back())
      all_there += costs_.latency + costs_.tied_bytes * costs_.seconds_per_byte;
    for (size_t other = 0; other < ranks_.size(); ++other) {
      if (!here.present[other]) continue;
      ranks_[other].clock = all_there;
      if (static_cast<int>(other) != rank) awake_.push_back(static_cast<int>(other));
    }
    return true;
  }

  void wake(int rank, int64_t value) {
    if (ranks_[rank].waits_for == value) awake_.push_back(rank);
  }

  void remember_posts(Lane& lane) {
    for (int i = 0; i < 2; ++i) {
      if (lane.value[i] >= 0) lane.posted[i] = posted_[lane.value[i]];
      lane.value[i] = -1;
    }
  }

  const Plan& plan_;
  const SimulationCosts& costs_;
  const DeferredWeights& deferred_;
  const bool keep_timeline_;
  Values values_;
  const std::vector<int>& rank_of_;
  std::vector<double> sent_, carried_, posted_;  // per value, in this step; carried: as far as its link goes
  std::vector<size_t> link_up_, link_down_;      // per boundary
  std::vector<double> link_free_;                // when it has carried all that was sent
  std::vector<Lane> lanes_;                      // per part
  std::vector<RankState> ranks_;
  std::vector<int> awake_;
  Meeting norm_, tied_;
  int step_ = 0;
};

// Steps without a flush may take some time to find their pace: every rank can hold up every other once. Large plans are
// given less of it.
size_t most_steps(const Plan& plan) {
  constexpr int64_t most_actions = int64_t{1} << 21;
  int64_t actions = 1;
  for (const std::vector<Action>& rank : plan.ranks) actions += static_cast<int64_t>(rank.size());
  return static_cast<size_t>(std::min<int64_t>(most_actions / actions, 16 + 4 * int64_t{plan.shape.ranks}));
}

bool are_equal(double one, double other) { return std::abs(one - other) <= 1e-9 * std::max(one, other); }

// The last three steps took equally long.
bool is_steady(const std::vector<double>& ends) {
  const size_t n = ends.size();
  return n >= 4 && are_equal(ends[n - 1] - ends[n - 2], ends[n - 2] - ends[n - 3]) &&
         are_equal(ends[n - 2] - ends[n - 3], ends[n - 3] - ends[n - 4]);
}

// The last step; where steps differ, as some do in turns, the mean of the later half.
double steady_step(const std::vector<double>& ends) {
  const size_t n = ends.size(), half = n / 2;
  if (n < 8 || is_steady(ends)) return ends[n - 1] - ends[n - 2];
  return (ends[n - 1] - ends[half - 1]) / static_cast<double>(n - half);
}

}  // namespace

SimulationCosts SimulationCosts::unit(int stages) {
  SimulationCosts costs;
  costs.stages.resize(stages);
  return costs;
}

Simulation simulate(const Plan& plan, const SimulationCosts& costs, int steps, bool keep_timeline) {
  assert(steps >= 2);
  assert(costs.stages.size() == static_cast<size_t>(plan.shape.stages));
  Simulation result;
  const DeferredWeights deferred(plan);
  Simulator simulator(plan, costs, deferred, keep_timeline);
  std::vector<double> ends;
  const auto run = [&] {
    simulator.run_step(static_cast<int>(ends.size()));
    ends.push_back(simulator.latest());
  };
  while (static_cast<int>(ends.size()) < steps) run();
  for (size_t most = keep_timeline ? 0 : most_steps(plan); ends.size() < most && !is_steady(ends);) run();
  result.step = steady_step(ends);
  for (const std::vector<Action>& actions : plan.ranks) {
    double busy = 0;
    for (const Action& action : actions) busy += cost_of(action, costs.stages[action.stage], deferred);
    const double idle = result.step > 0 ? std::max(0.0, 1.0 - busy / result.step) : 0.0;
    result.idle_share_of_rank.push_back(idle);
    result.idle_share += idle / plan.shape.ranks;
  }
  for (int rank = 0; rank < plan.shape.ranks; ++rank) result.peak_bytes.push_back(peak_bytes(plan, costs, rank));
  result.timeline = std::move(simulator.timeline);
  std::stable_sort(result.timeline.begin(), result.timeline.end(),
                   [](const SimulatedAction& a, const SimulatedAction& b) {
                     return a.rank != b.rank ? a.rank < b.rank : a.step < b.step;
                   });
  return result;
}

}  // namespace interlock
