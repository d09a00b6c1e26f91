// Ranks go on until they wait; whoever makes what a rank waits for wakes it. Each action is looked at a bounded number
// of times.

#include "parallel/plan/rendezvous.h"

#include <algorithm>

#include "runtime/core/error.h"

namespace interlock {
namespace {
constexpr uint8_t made = 1, posted = 2, sent = 4;
}

bool is_well_formed(const Plan& plan, const Action& action) {
  if (static_cast<int>(action.kind) >= num_kinds) return false;
  if (action.stage < 0 || action.stage >= plan.shape.stages) return false;
  const StageFlow& flow = plan.flows.stages[action.stage];
  const int last = plan.shape.stages - 1;
  int streams = -1;  // -1: the kind names no stream
  switch (action.kind) {
    case Kind::reduce_gradient:
    case Kind::reduce_tied:
    case Kind::reduce_norm:
    case Kind::update:
      return action.microbatch == -1 && action.stream == -1;
    case Kind::input_gradient:
    case Kind::backward:
    case Kind::send_backward:
      streams = static_cast<int>(flow.outgoing.size());
      break;
    case Kind::receive_backward:
      streams = static_cast<int>(flow.incoming.size());
      break;
    case Kind::send_forward:
      if (action.stage == last) return false;
      break;
    case Kind::receive_forward:
      if (action.stage == 0) return false;
      break;
    default:
      break;
  }
  if (action.microbatch < 0 || action.microbatch >= plan.shape.microbatches) return false;
  return streams < 0 ? action.stream == -1 : action.stream >= 0 && action.stream < streams;
}

Rendezvous::Rendezvous(const Plan& plan, int stop_rank, int64_t stop_index)
    : plan_(plan),
      stop_rank_(stop_rank),
      stop_index_(stop_index),
      values_(plan.flows, plan.shape.microbatches),
      rank_of_(plan.shape.placement.rank_of_stage()),
      marks_(values_.size(), 0),
      states_(plan.ranks.size()) {}

void Rendezvous::run() {
  for (size_t rank = states_.size(); rank-- > 0;) awake_.push_back(static_cast<int>(rank));
  while (!awake_.empty()) {
    const int rank = awake_.back();
    awake_.pop_back();
    go_on(rank);
  }
}

void Rendezvous::go_on(int rank) {
  RankState& state = states_[rank];
  const std::vector<Action>& actions = plan_.ranks[rank];
  state.waits_for = -1;
  state.value = -1;
  while (state.position < static_cast<int64_t>(actions.size())) {
    if (rank == stop_rank_ && state.position == stop_index_) return;
    const Action& action = actions[state.position];
    if (!is_well_formed(plan_, action) || !perform(rank, action)) return;
    ++state.position;
  }
}

bool Rendezvous::perform(int rank, const Action& action) {
  if (is_receive(action.kind)) {
    const Need need = carried(action);
    const int64_t value = value_of(need, action.microbatch);
    marks_[value] |= posted;
    wake(rank_of_[need.stage], value);
    return true;
  }
  if (is_send(action.kind)) {
    const int64_t value = value_of(carried(action), action.microbatch);
    const int to = rank_of_[action.kind == Kind::send_forward ? action.stage + 1 : action.stage - 1];
    if (!(marks_[value] & posted)) {
      states_[rank].waits_for = to;
      states_[rank].value = value;
      return false;
    }
    marks_[value] |= sent;
    wake(to, value);
    return true;
  }
  if (action.kind == Kind::reduce_norm || action.kind == Kind::reduce_tied) return meet(rank, action.kind);
  if (action.kind > Kind::backward) return true;
  if (!has_what_it_needs(rank, action)) return false;
  visit_made(action, [&](int part) { marks_[values_.at(action.stage, part, action.microbatch)] |= made; });
  return true;
}

bool Rendezvous::has_what_it_needs(int rank, const Action& action) {
  bool all = true;
  RankState& state = states_[rank];
  visit_needs(plan_.flows, action, [&](const Need& need) {
    const int64_t value = value_of(need, action.microbatch);
    const int maker = rank_of_[need.stage];
    if (!all || marks_[value] & (maker == rank ? made : sent)) return;
    all = false;
    state.waits_for = maker;
    state.value = value;
  });
  return all;
}

Rendezvous::Meeting& Rendezvous::meeting(Kind kind) { return kind == Kind::reduce_norm ? norm_ : tied_; }

bool Rendezvous::meet(int rank, Kind kind) {
  Meeting& here = meeting(kind);
  if (here.present.empty()) {
    here.present.assign(states_.size(), false);
    here.missing = static_cast<int>(states_.size());
    if (kind == Kind::reduce_tied) {
      const int first = rank_of_.front(), last = rank_of_.back();
      here.present.assign(states_.size(), true);
      here.present[first] = here.present[last] = false;
      here.missing = first == last ? 1 : 2;
    }
  }
  if (!here.present[rank]) {
    here.present[rank] = true;
    if (--here.missing == 0) {
      for (int other = 0; other < plan_.shape.ranks; ++other) {
        if (other != rank) awake_.push_back(other);
      }
    }
  }
  states_[rank].meets = here.missing == 0 ? nullptr : &here;
  return here.missing == 0;
}

void Rendezvous::wake(int rank, int64_t value) {
  if (states_[rank].value == value) awake_.push_back(rank);
}

int Rendezvous::waits_for(int rank) const {
  const RankState& state = states_[rank];
  if (state.waits_for >= 0 || state.meets == nullptr || state.meets->missing == 0) return state.waits_for;
  const auto absent = std::find(state.meets->present.begin(), state.meets->present.end(), false);
  return static_cast<int>(absent - state.meets->present.begin());
}

std::string Rendezvous::reason(int rank) const {
  const int other = waits_for(rank);
  if (other < 0) return "";
  const Action& action = plan_.ranks[rank][position(rank)];
  if (is_closing(action.kind)) return message("waits for rank ", other, " at ", text_of(action.kind));
  if (is_send(action.kind)) {
    Action receive = action;
    const bool forward = action.kind == Kind::send_forward;
    receive.kind = forward ? Kind::receive_forward : Kind::receive_backward;
    receive.stage += forward ? 1 : -1;
    return message("waits until rank ", other, " posts ", text_of(receive, plan_.flows));
  }
  std::string what;
  visit_needs(plan_.flows, action, [&](const Need& need) {
    if (!what.empty() || value_of(need, action.microbatch) != states_[rank].value) return;
    Action maker{Kind::loss, need.stage, action.microbatch, -1};
    if (need.part == Values::forward_part) maker.kind = other == rank ? Kind::forward : Kind::send_forward;
    if (need.part >= Values::stream_part) {
      maker.kind = other == rank ? Kind::input_gradient : Kind::send_backward;
      maker.stream = need.part - Values::stream_part;
    }
    what = text_of(maker, plan_.flows);
  });
  return message("waits for ", what, " of rank ", other);
}

}  // namespace interlock
