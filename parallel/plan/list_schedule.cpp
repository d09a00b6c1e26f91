// Each stage has one queue per thing it does (forwards, losses, every outgoing stream, teaching), and each queue is
// worked off with ascending microbatches; a queue's next action enters its rank's heap when all it needs has been made.
// Every action thus enters and leaves a heap once: O(actions x log(queues per rank + ranks)).

#include "parallel/plan/list_schedule.h"

#include <algorithm>
#include <cassert>
#include <functional>
#include <queue>

#include "parallel/plan/deferred_weights.h"
#include "parallel/plan/passes.h"

namespace interlock {
namespace {

// What a rank prefers, best first.
enum Preference : uint64_t { head, own_stream, pass_on, teach_only, next_forward, filler };

struct Queue {
  Action next;  // microbatch: the first one not yet finished
  int rank = 0;
  int64_t cost = 0;
  Preference preference = head;
  int after = -1;       // a part of this stage that comes first without being needed: I of what W multiplies
  bool waiting = true;  // not in the heap and not running
  bool exists = false;
};

struct Ready {
  uint64_t key;
  int64_t queue;
  bool operator>(const Ready& other) const { return key > other.key; }
};
template <class T>
using MinHeap = std::priority_queue<T, std::vector<T>, std::greater<T>>;

class ListScheduler {
 public:
  ListScheduler(const PlanShape& shape, const Flows& flows, const ListPolicy& policy)
      : shape_(shape), flows_(flows), policy_(policy), values_(flows, shape.microbatches), queues_(values_.parts()) {
    const std::vector<int>& rank_of = shape.placement.rank_of_stage();
    ranks_.resize(shape.ranks);
    std::vector<int64_t> actions(shape.ranks, 0);
    for (int stage = 0; stage < shape.stages; ++stage) add_queues(stage, rank_of[stage]);
    for (const Queue& queue : queues_) {
      if (!queue.exists) continue;
      actions[queue.rank] += shape.microbatches;
      if (in_first_phase(queue)) ranks_[queue.rank].left_of_first_phase += shape.microbatches;
    }
    for (int rank = 0; rank < shape.ranks; ++rank) ranks_[rank].order.reserve(actions[rank]);
  }

  std::vector<std::vector<Action>> run() {
    for (int stage = 0; stage < shape_.stages; ++stage) consider(values_.part(stage, Values::forward_part));
    std::vector<int> touched(shape_.ranks);
    for (int rank = 0; rank < shape_.ranks; ++rank) touched[rank] = rank;
    while (true) {
      for (int rank : touched_ranks(touched)) start_best(rank);
      if (ends_.empty()) break;
      now_ = ends_.top().first;
      while (!ends_.empty() && ends_.top().first == now_) {
        const int rank = ends_.top().second;
        ends_.pop();
        const int64_t queue = ranks_[rank].running;
        ranks_[rank].running = idle;
        touch(rank);
        finish(queue);
      }
      touched.swap(touched_);
      touched_.clear();
    }
    std::vector<std::vector<Action>> order;
    for (RankState& rank : ranks_) order.push_back(std::move(rank.order));
    return order;
  }

 private:
  static constexpr int64_t idle = -1;
  struct RankState {
    MinHeap<Ready> ready;
    int64_t running = idle;
    int64_t left_of_first_phase = 0;
    bool touched = false;
    std::vector<Action> order;
  };

  void add_queue(int stage, int rank, int part, const Action& action, Preference preference) {
    queues_[values_.part(stage, part)] = {action, rank, unit_cost(action.kind), preference, -1, true, true};
  }

  // Where B is not taken apart, no W is deferred: a stage with a joint stream does B.
  void add_weights(int stage, int rank) {
    const int joint = flows_.stages[stage].joint;
    const Action action{Kind::weight_gradient, stage, 0, -1};
    add_queue(stage, rank, Values::teach_part, action, policy_.weights_last ? filler : teach_only);
    if (joint < 0) return;
    Queue& queue = queues_[values_.part(stage, Values::teach_part)];
    queue.cost = unit_cost(Kind::weight_gradient, true);
    queue.after = Values::stream_part + joint;
  }

  void add_queues(int stage, int rank) {
    const StageFlow& flow = flows_.stages[stage];
    add_queue(stage, rank, Values::forward_part, {Kind::forward, stage, 0, -1}, next_forward);
    if (flow.has_loss) add_queue(stage, rank, Values::loss_part, {Kind::loss, stage, 0, -1}, head);
    const int joint = flow.learns && !policy_.weights_last ? flow.joint : -1;
    if (flow.learns && joint < 0) add_weights(stage, rank);
    for (int stream = 0; stream < static_cast<int>(flow.outgoing.size()); ++stream) {
      const int part = Values::stream_part + stream;
      const std::vector<Term>& terms = flow.outgoing[stream].terms;
      if (stream == joint) {
        add_queue(stage, rank, part, {Kind::backward, stage, 0, stream}, pass_on);
      } else {
        const bool own_only = terms.size() == 1 && terms.front().source == Term::own_loss;
        add_queue(stage, rank, part, {Kind::input_gradient, stage, 0, stream}, own_only ? own_stream : pass_on);
      }
    }
  }

  bool in_first_phase(const Queue& queue) const {
    return policy_.first == ListPolicy::First::all_forwards && queue.preference != pass_on &&
           queue.preference != teach_only;
  }

  // Smaller is better: preference, then lower microbatch, then higher stage (its gradients are needed further down).
  uint64_t key(const Queue& queue) const {
    const uint64_t microbatch = static_cast<uint64_t>(queue.next.microbatch);
    const uint64_t depth = static_cast<uint64_t>(shape_.stages - queue.next.stage);
    uint64_t group = queue.preference, within = 0;
    if (policy_.first == ListPolicy::First::forwards && queue.preference == next_forward) group = own_stream;
    if (policy_.first == ListPolicy::First::all_forwards) {
      // Forwards before any pass back; then the passes of one microbatch, streams before teaching.
      group = queue.preference == next_forward ? pass_on : queue.preference;
      if (!in_first_phase(queue)) group = next_forward;
      within = queue.preference == teach_only ? 1 : 0;
    }
    return group << 56 | microbatch << 24 | within << 20 | depth;
  }

  bool is_made(const Need& need, int microbatch) const {
    return queues_[values_.part(need.stage, need.part)].next.microbatch > microbatch;
  }

  // Microbatches that the stage has forwarded and done with all parts from `first_part` on.
  int64_t done(int stage, int first_part) const {
    int64_t least = queues_[values_.part(stage, Values::forward_part)].next.microbatch;
    for (int64_t part = values_.part(stage, first_part); part < values_.part(stage + 1, 0); ++part) {
      if (queues_[part].exists) least = std::min<int64_t>(least, queues_[part].next.microbatch);
    }
    return least;
  }

  // One more microbatch at this stage would be one too many.
  bool is_full(int stage, int microbatch) const {
    if (microbatch - done(stage, Values::loss_part) >= policy_.most_in_flight[stage]) return true;
    if (policy_.most_underway.empty()) return false;
    const int passed = flows_.stages[stage].outgoing.empty() ? Values::teach_part : Values::stream_part;
    return microbatch - done(stage, passed) >= policy_.most_underway[stage];
  }

  // Puts the queue's next action into its rank's heap if it can run now.
  void consider(int64_t index) {
    Queue& queue = queues_[index];
    const int microbatch = queue.next.microbatch;
    if (!queue.exists || !queue.waiting || microbatch == shape_.microbatches) return;
    bool ready = true;
    visit_needs(flows_, queue.next, [&](const Need& need) { ready = ready && is_made(need, microbatch); });
    const int stage = queue.next.stage;
    if (!ready || (queue.after >= 0 && !is_made({stage, queue.after}, microbatch))) return;
    if (queue.next.kind == Kind::forward && is_full(stage, microbatch)) return;
    queue.waiting = false;
    ranks_[queue.rank].ready.push({key(queue), index});
    touch(queue.rank);
  }

  void finish(int64_t index) {
    Queue& queue = queues_[index];
    const int stage = queue.next.stage;
    const Kind kind = queue.next.kind;
    ++queue.next.microbatch;
    queue.waiting = true;
    if (in_first_phase(queue)) --ranks_[queue.rank].left_of_first_phase;
    for (int64_t part = values_.part(stage, 0); part < values_.part(stage + 1, 0); ++part) consider(part);
    if (kind == Kind::forward && stage + 1 < shape_.stages) consider(values_.part(stage + 1, Values::forward_part));
    if ((kind == Kind::input_gradient || kind == Kind::backward) && stage > 0) {
      for (int64_t part = values_.part(stage - 1, 1); part < values_.part(stage, 0); ++part) consider(part);
    }
  }

  void start_best(int rank) {
    RankState& state = ranks_[rank];
    while (state.running == idle && !state.ready.empty()) {
      const int64_t index = state.ready.top().queue;
      const Queue& queue = queues_[index];
      if (state.left_of_first_phase > 0 && !in_first_phase(queue)) return;
      state.ready.pop();
      state.order.push_back(queue.next);
      if (queue.cost == 0) {
        finish(index);  // a head: it makes only actions of this same rank ready
      } else {
        state.running = index;
        ends_.push({now_ + queue.cost, rank});
      }
    }
  }

  void touch(int rank) {
    if (ranks_[rank].touched) return;
    ranks_[rank].touched = true;
    touched_.push_back(rank);
  }
  const std::vector<int>& touched_ranks(const std::vector<int>& touched) {
    for (int rank : touched) ranks_[rank].touched = false;
    return touched;
  }

  const PlanShape& shape_;
  const Flows& flows_;
  const ListPolicy& policy_;
  Values values_;
  std::vector<Queue> queues_;  // one per part
  std::vector<RankState> ranks_;
  std::vector<int> touched_;
  MinHeap<std::pair<int64_t, int>> ends_;  // (time, rank) of running actions
  int64_t now_ = 0;
};

// Steps from one rank to another between `stage` and the farthest loss that it waits for.
int hops_of(const PlanShape& shape, const Flows& flows, int stage) {
  int hops = 0;
  for (int above = stage; above < stage + flows.reach[stage]; ++above)
    hops += shape.rank_of(above) != shape.rank_of(above + 1);
  return hops;
}

}  // namespace

int depth_in_ranks(const PlanShape& shape, const Flows& flows) {
  int most = 0;
  for (int stage = 0; stage < shape.stages; ++stage) most = std::max(most, hops_of(shape, flows, stage));
  return most + 1;
}

ListPolicy zero_bubble_policy(const PlanShape& shape, const Flows& flows, int most) {
  const int more = most - depth_in_ranks(shape, flows);
  ListPolicy policy;
  policy.first = ListPolicy::First::forwards;
  policy.weights_last = true;
  policy.most_in_flight.assign(shape.stages, most);
  for (int stage = 0; stage < shape.stages; ++stage) {
    const int hops = hops_of(shape, flows, stage);
    policy.most_underway.push_back(std::clamp(hops + 1 + more, 1, 2 * hops + 1));
  }
  return policy;
}

std::vector<std::vector<Action>> list_schedule(const PlanShape& shape, const Flows& flows, const ListPolicy& policy) {
  assert(policy.most_in_flight.size() == static_cast<size_t>(shape.stages));
  return ListScheduler(shape, flows, policy).run();
}

}  // namespace interlock
