// One walk over a rank's list, counting bytes up and down.

#include "parallel/plan/peak_memory.h"

#include <algorithm>

#include "parallel/plan/deferred_weights.h"
#include "parallel/plan/passes.h"

namespace interlock {
namespace {

class MemoryWalk {
 public:
  MemoryWalk(const Plan& plan, const SimulationCosts& costs, int rank)
      : plan_(plan),
        costs_(costs),
        rank_(rank),
        own_(plan.shape.stages_of(rank)),
        deferred_(plan.flows, plan.shape.microbatches, std::span(&plan.ranks[rank], 1)) {
    slot_.assign(plan.shape.stages, -1);
    sums_.assign(own_.size(), 0.0);
    for (size_t i = 0; i < own_.size(); ++i) {
      slot_[own_[i]] = static_cast<int>(i);
      first_stream_.push_back(streams_);
      streams_ += static_cast<int64_t>(plan.flows.stages[own_[i]].incoming.size());
      now_ += costs.stages[own_[i]].fixed_bytes;
    }
    const int64_t microbatches = plan.shape.microbatches;
    parts_left_.assign(static_cast<int64_t>(own_.size()) * microbatches, 0);
    waits_recorded_.assign(parts_left_.size(), false);
    uses_left_.assign(streams_ * microbatches, 0);
    for (int stage : own_) count_uses(stage);
  }

  double peak() {
    most_ = now_;
    for (const Action& action : plan_.ranks[rank_]) {
      if (action.kind <= Kind::backward) {
        compute(action);
      } else if (is_receive(action.kind)) {
        grow(buffer_bytes(action));
      } else if (action.kind == Kind::reduce_gradient) {
        now_ -= sums_[slot_[action.stage]];
        sums_[slot_[action.stage]] = 0;
      }
    }
    return most_;
  }

 private:
  void grow(double bytes) {
    now_ += bytes;
    most_ = std::max(most_, now_);
  }
  double buffer_bytes(const Action& receive) const {
    return costs_.stages[receive.kind == Kind::receive_forward ? receive.stage - 1 : receive.stage].message_bytes;
  }
  // Of a microbatch: all that was saved where something is passed back; else the output, for its loss and its send.
  double alive_bytes(int stage) const {
    const StageCosts& costs = costs_.stages[stage];
    return keeps_graph(plan_, stage) ? costs.activation_bytes : costs.message_bytes;
  }
  int32_t& uses_left(int stage, int source, int microbatch) {
    return uses_left_[(first_stream_[slot_[stage]] + source) * plan_.shape.microbatches + microbatch];
  }
  bool arrives_by_message(int from_stage) const { return plan_.shape.rank_of(from_stage) != rank_; }

  void count_uses(int stage) {
    const StageFlow& flow = plan_.flows.stages[stage];
    if (stage + 1 == plan_.shape.stages || !arrives_by_message(stage + 1)) return;
    const auto count = [&](const std::vector<Term>& terms) {
      for (const Term& term : terms) {
        if (term.source == Term::own_loss) continue;
        for (int i = 0; i < plan_.shape.microbatches; ++i) ++uses_left(stage, term.source, i);
      }
    };
    for (const Outgoing& outgoing : flow.outgoing) count(outgoing.terms);
    if (flow.learns) count(flow.teach);
  }

  void compute(const Action& action) {
    const StageCosts& costs = costs_.stages[action.stage];
    int32_t& left = parts_left_[int64_t{slot_[action.stage]} * plan_.shape.microbatches + action.microbatch];
    if (action.kind == Kind::forward) {
      left = parts_after_forward(plan_, action.stage);
      if (!keeps_graph(plan_, action.stage)) most_ = std::max(most_, now_ + costs.forward_working_bytes);
      grow(alive_bytes(action.stage));
      if (action.stage > 0 && arrives_by_message(action.stage - 1)) {
        now_ -= costs_.stages[action.stage - 1].message_bytes;
      }
    } else {
      left -= parts_made(action);
      if (action.kind == Kind::loss) {
        most_ = std::max(most_, now_ + costs.loss_working_bytes);
      } else if (deferred_.is_deferred(action)) {
        add_recorded(action, left);
      } else {
        pass_back(action, left);
      }
    }
    if (left == 0) now_ -= alive_bytes(action.stage);
    begin_sums(action);
    if (action.stage + 1 < plan_.shape.stages && arrives_by_message(action.stage + 1)) release_streams(action);
  }

  // Gradients are complete with the last microbatch: a head's with its loss, a body's with the pass that teaches it,
  // which frees what was saved as they go.
  void begin_sums(const Action& action) {
    if (action.microbatch + 1 < plan_.shape.microbatches) return;
    const StageCosts& costs = costs_.stages[action.stage];
    double bytes = 0;
    if (action.kind == Kind::loss) bytes = costs.head_sum_bytes;
    if (action.kind == Kind::weight_gradient || action.kind == Kind::backward) bytes = costs.sum_bytes;
    sums_[slot_[action.stage]] += bytes;
    grow(bytes);
  }

  char& waits_recorded(const Action& action) {
    return waits_recorded_[int64_t{slot_[action.stage]} * plan_.shape.microbatches + action.microbatch];
  }

  // A pass frees what was saved as it goes, unless another will walk the same; a W that was recorded for does not.
  void pass_back(const Action& action, int32_t left_after) {
    const StageCosts& costs = costs_.stages[action.stage];
    const bool records = deferred_.records(action);
    if (records) waits_recorded(action) = true;
    const bool recorded = waits_recorded(action), keeps = left_after > (recorded ? 1 : 0);
    double more = records ? costs.recorded_bytes : 0;
    if (recorded && !keeps) more -= costs.released_bytes;
    const double working =
        keeps || records ? std::max(costs.working_bytes, costs.kept_working_bytes) : costs.working_bytes;
    most_ = std::max(most_, now_ + std::max(0.0, more) + working);
    now_ += more;
  }

  // Products into the buffer of gradients: they need nothing beside.
  void add_recorded(const Action& action, int32_t left_after) {
    const StageCosts& costs = costs_.stages[action.stage];
    waits_recorded(action) = false;
    now_ -= costs.recorded_bytes;
    if (left_after == 0) now_ += costs.released_bytes;  // it leaves with all of the microbatch
  }

  void release_streams(const Action& action) {
    const StageFlow& flow = plan_.flows.stages[action.stage];
    const auto release = [&](const std::vector<Term>& terms) {
      for (const Term& term : terms) {
        if (term.source == Term::own_loss) continue;
        int32_t& left = uses_left(action.stage, term.source, action.microbatch);
        if (--left == 0) now_ -= costs_.stages[action.stage].message_bytes;
      }
    };
    const bool passes = action.kind == Kind::input_gradient || action.kind == Kind::backward;
    if (passes) release(flow.outgoing[action.stream].terms);
    if (action.kind == Kind::weight_gradient || action.kind == Kind::backward) release(flow.teach);
  }

  const Plan& plan_;
  const SimulationCosts& costs_;
  const int rank_;
  const std::vector<int> own_;
  const DeferredWeights deferred_;
  std::vector<int> slot_;              // place of a stage in own_
  std::vector<int64_t> first_stream_;  // per own stage: where its incoming streams start
  int64_t streams_ = 0;
  std::vector<int32_t> parts_left_;   // per (own stage, microbatch)
  std::vector<char> waits_recorded_;  // per (own stage, microbatch): I has recorded, W has not run
  std::vector<int32_t> uses_left_;    // per (incoming stream of an own stage, microbatch)
  std::vector<double> sums_;          // per own stage, under way
  double now_ = 0, most_ = 0;
};

}  // namespace

double peak_bytes(const Plan& plan, const SimulationCosts& costs, int rank) {
  return MemoryWalk(plan, costs, rank).peak();
}

}  // namespace interlock
