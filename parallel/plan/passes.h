#pragma once
// What the compute actions of one step make and need, numbered: scheduling, lowering, checking and simulating all ask
// the same two questions - which values does this action wait for, and which does it make - and get the answer here.

#include <cstdint>
#include <vector>

#include "parallel/plan/action.h"
#include "parallel/plan/plan.h"

namespace interlock {

// A value that one stage makes for one microbatch: its output, the gradient of its own loss, the gradient that teaches
// it (which nobody but the stage uses), or one outgoing stream.
class Values {
 public:
  static constexpr int forward_part = 0, loss_part = 1, teach_part = 2, stream_part = 3;

  Values(const Flows& flows, int microbatches) : microbatches_(microbatches) {
    int64_t parts = 0;
    for (const StageFlow& flow : flows.stages) {
      first_part_.push_back(parts);
      parts += stream_part + static_cast<int64_t>(flow.outgoing.size());
    }
    first_part_.push_back(parts);
  }
  // Parts are what a stage makes anew for each microbatch; values are (part, microbatch).
  int64_t part(int stage, int which) const { return first_part_[stage] + which; }
  int64_t parts() const { return first_part_.back(); }
  int64_t at(int stage, int which, int microbatch) const { return part(stage, which) * microbatches_ + microbatch; }
  int64_t size() const { return parts() * microbatches_; }

 private:
  int64_t microbatches_;
  std::vector<int64_t> first_part_;
};

// One part another action must have made before: stage and which part of it (see Values).
struct Need {
  int stage, part;
};

template <class Visit>
void visit_terms(const std::vector<Term>& terms, int stage, Visit&& visit) {
  for (const Term& term : terms) {
    if (term.source == Term::own_loss) {
      visit(Need{stage, Values::loss_part});
    } else {
      visit(Need{stage + 1, Values::stream_part + term.source});
    }
  }
}

// Calls visit(Need) for everything a compute action F, L, I, W, B works on.
template <class Visit>
void visit_needs(const Flows& flows, const Action& action, Visit&& visit) {
  const StageFlow& flow = flows.stages[action.stage];
  if (action.kind == Kind::forward) {
    if (action.stage > 0) visit(Need{action.stage - 1, Values::forward_part});
    return;
  }
  visit(Need{action.stage, Values::forward_part});
  if (action.kind == Kind::input_gradient || action.kind == Kind::backward) {
    visit_terms(flow.outgoing[action.stream].terms, action.stage, visit);
  } else if (action.kind == Kind::weight_gradient) {
    visit_terms(flow.teach, action.stage, visit);
  }
}

// Calls visit(part) for every part of its stage that a compute action makes.
template <class Visit>
void visit_made(const Action& action, Visit&& visit) {
  switch (action.kind) {
    case Kind::forward:
      return visit(Values::forward_part);
    case Kind::loss:
      return visit(Values::loss_part);
    case Kind::weight_gradient:
      return visit(Values::teach_part);
    case Kind::input_gradient:
      return visit(Values::stream_part + action.stream);
    case Kind::backward:
      visit(Values::stream_part + action.stream);
      return visit(Values::teach_part);
    default:
      return;
  }
}

// The value a message carries, as the part that its sender makes.
inline Need carried(const Action& message) {
  switch (message.kind) {
    case Kind::send_forward:
      return {message.stage, Values::forward_part};
    case Kind::receive_forward:
      return {message.stage - 1, Values::forward_part};
    case Kind::send_backward:
      return {message.stage, Values::stream_part + message.stream};
    default:
      return {message.stage + 1, Values::stream_part + message.stream};
  }
}

inline bool runs_loss(const Plan& plan, int stage) {
  return plan.evaluation ? stage == plan.shape.stages - 1 : plan.flows.stages[stage].has_loss;
}
inline int streams_out(const Plan& plan, int stage) {
  return plan.evaluation ? 0 : static_cast<int>(plan.flows.stages[stage].outgoing.size());
}
inline bool learns(const Plan& plan, int stage) { return !plan.evaluation && plan.flows.stages[stage].learns; }
// Something is passed back through the body, so its forward keeps a graph (or the input that one is made from).
inline bool keeps_graph(const Plan& plan, int stage) { return streams_out(plan, stage) > 0 || learns(plan, stage); }
// Shares its tensor with the stage at the other end of the model.
inline bool is_tied(const Plan& plan, int stage) {
  return plan.tied && !plan.evaluation && (stage == 0 || stage == plan.shape.stages - 1);
}
// Has parameters that change: then its gradients are reduced and it is updated.
inline bool trains(const Plan& plan, int stage) {
  return learns(plan, stage) || (!plan.evaluation && runs_loss(plan, stage)) || is_tied(plan, stage);
}
// Parts made after the forward (a stage keeps its microbatch until all of them are).
inline int parts_after_forward(const Plan& plan, int stage) {
  return (runs_loss(plan, stage) ? 1 : 0) + streams_out(plan, stage) + (learns(plan, stage) ? 1 : 0);
}
inline int parts_made(const Action& action) { return action.kind == Kind::backward ? 2 : 1; }

}  // namespace interlock
