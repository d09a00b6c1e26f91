// Walks each rank's list once. A value has marks: made by its stage, sent, received by the neighbour's rank. One walk
// marks what its own actions do, and asks only for marks that an earlier action of the same list must have set.

#include "parallel/plan/rank_check.h"

#include <algorithm>

#include "parallel/plan/passes.h"
#include "parallel/plan/rendezvous.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

constexpr uint8_t made = 1, sent = 2, received = 4;

class RankCheck {
 public:
  explicit RankCheck(const Plan& plan)
      : plan_(plan),
        flows_(plan.flows),
        values_(plan.flows, plan.shape.microbatches),
        rank_of_(plan.shape.placement.rank_of_stage()),
        marks_(values_.size(), 0),
        stages_(plan.shape.stages) {}

  std::optional<PlanFault> find() {
    for (rank_ = 0; rank_ < plan_.shape.ranks; ++rank_) {
      norm_done_ = tied_done_ = false;
      const std::vector<Action>& actions = plan_.ranks[rank_];
      for (size_t i = 0; i < actions.size(); ++i) {
        const std::string reason = look_at(actions[i]);
        if (!reason.empty()) return PlanFault{rank_, static_cast<int64_t>(i), reason};
      }
      const std::string missing = find_missing();
      if (!missing.empty()) return PlanFault{rank_, static_cast<int64_t>(actions.size()), missing};
    }
    return std::nullopt;
  }

 private:
  struct StageState {
    int64_t computed = 0;  // parts made so far
    int next_loss = 0, next_teach = 0;
    bool reduced = false, updated = false;
  };

  // All look_* answer with the reason of a fault, or "".
  std::string look_at(const Action& action) {
    if (action.stage < 0 || action.stage >= plan_.shape.stages) {
      return message("there is no stage ", action.stage, ", the stages are 0 to ", plan_.shape.stages - 1);
    }
    if (rank_of_[action.stage] != rank_) {
      return message(text(action), " belongs to rank ", rank_of_[action.stage], ", which holds stage ", action.stage);
    }
    if (!is_well_formed(plan_, action)) return look_at_form(action);
    if (action.kind <= Kind::backward) return look_at_compute(action);
    if (is_send(action.kind)) return look_at_send(action);
    if (is_receive(action.kind)) return look_at_receive(action);
    return look_at_closing(action);
  }

  std::string look_at_form(const Action& action) const {
    if (!is_closing(action.kind) && (action.microbatch < 0 || action.microbatch >= plan_.shape.microbatches)) {
      return message(text(action), ": there is no microbatch ", action.microbatch, ", they are 0 to ",
                     plan_.shape.microbatches - 1);
    }
    if (action.kind == Kind::send_forward)
      return message(text(action), ": the last stage has nobody to send its output to");
    if (action.kind == Kind::receive_forward)
      return message(text(action), ": stage 0 reads its input, nobody sends it");
    return message(text(action), ": the rule has no such stream at stage ", action.stage);
  }

  std::string look_at_compute(const Action& action) {
    StageState& stage = stages_[action.stage];
    if (std::string reason = look_at_permission(action); !reason.empty()) return reason;
    if (stage.updated) return message(text(action), " comes after ", action.stage, "U, which ends the stage's step");
    if (stage.reduced)
      return message(text(action), " comes after ", action.stage, "REDUCE_GRAD, which takes its gradients");
    if (std::string reason = look_at_needs(action); !reason.empty()) return reason;
    if (std::string reason = look_at_order(action); !reason.empty()) return reason;
    std::string twice;
    visit_made(action, [&](int part) {
      uint8_t& mark = marks_[values_.at(action.stage, part, action.microbatch)];
      if (mark & made)
        twice = message(text(action), " does again what was done before: ", name_of({action.stage, part}, action));
      mark |= made;
      ++stage.computed;
    });
    return twice;
  }

  // Does this stage do such things at all?
  std::string look_at_permission(const Action& action) const {
    const StageFlow& flow = flows_.stages[action.stage];
    if (plan_.evaluation && action.kind != Kind::forward && action.kind != Kind::loss) {
      return message(text(action), " does not belong into an evaluation: it runs forwards and the last loss only");
    }
    if (action.kind == Kind::loss && !runs_loss(plan_, action.stage)) {
      return message(text(action), ": no loss runs on stage ", action.stage);
    }
    const bool teaches = action.kind == Kind::weight_gradient || action.kind == Kind::backward;
    if (teaches && !flow.learns) return message(text(action), ": stage ", action.stage, " learns from nothing");
    if (action.kind == Kind::backward && action.stream != flow.joint) {
      return message(text(action), ": what teaches stage ", action.stage,
                     " is not this stream, so one walk cannot make both; it takes W and I");
    }
    return "";
  }

  std::string look_at_needs(const Action& action) const {
    std::string reason;
    visit_needs(flows_, action, [&](const Need& need) {
      if (!reason.empty()) return;
      const uint8_t mark = marks_[values_.at(need.stage, need.part, action.microbatch)];
      const bool here = rank_of_[need.stage] == rank_;
      if (mark & (here ? made : received)) return;
      reason = message(text(action), " needs ", name_of(need, action),
                       here ? ", which is made later or never" : ", but no receive of it comes before");
    });
    return reason;
  }

  std::string look_at_order(const Action& action) {
    StageState& stage = stages_[action.stage];
    const bool is_loss = action.kind == Kind::loss;
    if (!is_loss && action.kind != Kind::weight_gradient && action.kind != Kind::backward) return "";
    int& next = is_loss ? stage.next_loss : stage.next_teach;
    if (action.microbatch == next) {
      ++next;
      return "";
    }
    return message(text(action), " comes where microbatch ", next,
                   " is due: ", is_loss ? "losses run" : "a stage is taught",
                   " once per microbatch in ascending order, so that sums are the same bits under every plan");
  }

  std::string look_at_send(const Action& action) {
    const Need need = carried(action);
    const int to = action.kind == Kind::send_forward ? action.stage + 1 : action.stage - 1;
    uint8_t& mark = marks_[values_.at(need.stage, need.part, action.microbatch)];
    if (plan_.evaluation && action.kind == Kind::send_backward)
      return message(text(action), " does not belong into an evaluation");
    if (rank_of_[to] == rank_)
      return message(text(action), ": stage ", to, " is on the same rank and needs no message");
    if (!(mark & made))
      return message(text(action), " sends ", name_of(need, action), ", which is made later or never");
    if (mark & sent) return message(text(action), " sends ", name_of(need, action), " a second time");
    if (norm_done_ || tied_done_)
      return message(text(action), " comes after ", norm_done_ ? "REDUCE_NORM" : "REDUCE_TIED",
                     ": a rank may wait there for one that waits for this");
    mark |= sent;
    return "";
  }

  std::string look_at_receive(const Action& action) {
    const Need need = carried(action);
    uint8_t& mark = marks_[values_.at(need.stage, need.part, action.microbatch)];
    if (plan_.evaluation && action.kind == Kind::receive_backward)
      return message(text(action), " does not belong into an evaluation");
    if (rank_of_[need.stage] == rank_) {
      return message(text(action), ": stage ", need.stage, " is on the same rank and sends no message");
    }
    if (mark & received) return message(text(action), " receives ", name_of(need, action), " a second time");
    mark |= received;
    return "";
  }

  std::string look_at_closing(const Action& action) {
    StageState& stage = stages_[action.stage];
    const std::string word = text(action);
    if (plan_.evaluation) return message(word, " does not belong into an evaluation");
    if (action.kind == Kind::reduce_norm) return look_at_norm(action);
    if (action.kind == Kind::reduce_tied) return look_at_tied(action);
    if (!trains(plan_, action.stage)) return message(word, ": stage ", action.stage, " has nothing that learns");
    if (stage.updated) return message(word, " comes after ", action.stage, "U");
    if (stage.computed < due(action.stage)) {
      return message(word, " comes before the stage is done: ", missing_compute(action.stage), " or comes later");
    }
    if (action.kind == Kind::reduce_gradient) {
      if (plan_.shape.replicas == 1) return message(word, ": there is one replica only, nothing to sum");
      if (stage.reduced) return message(word, " sums the gradients a second time");
      stage.reduced = true;
      return "";
    }
    if (plan_.shape.replicas > 1 && !stage.reduced) return message(word, " comes before ", action.stage, "REDUCE_GRAD");
    if (is_tied(plan_, action.stage) && !tied_done_) return message(word, " comes before REDUCE_TIED");
    if (plan_.norm_over_model && !norm_done_) return message(word, " comes before REDUCE_NORM");
    stage.updated = true;
    return "";
  }

  std::string look_at_norm(const Action& action) {
    const std::string word = text(action);
    const std::vector<int> own = plan_.shape.stages_of(rank_);
    if (!plan_.norm_over_model)
      return message(word, ": this plan clips per stage, no norm over the model is asked for");
    if (action.stage != own.front()) return message(word, " must name the rank's lowest stage, ", own.front());
    if (norm_done_) return message(word, " comes twice");
    for (int stage : own) {
      if (!is_done(stage)) return message(word, " comes before stage ", stage, " is done");
    }
    if (first_tied(own) >= 0 && !tied_done_) return message(word, " comes before REDUCE_TIED");
    norm_done_ = true;
    return "";
  }

  // The rank meets one other there: nothing that somebody may wait for comes later.
  std::string look_at_tied(const Action& action) {
    const std::string word = text(action);
    const std::vector<int> own = plan_.shape.stages_of(rank_);
    if (first_tied(own) < 0) return message(word, ": no tied tensor is on this rank");
    if (action.stage != first_tied(own))
      return message(word, " must name the rank's lowest tied stage, ", first_tied(own));
    if (tied_done_) return message(word, " comes twice");
    for (int stage : own) {
      if (!is_done(stage)) return message(word, " comes before stage ", stage, " is done");
    }
    tied_done_ = true;
    return "";
  }

  // The lowest of these stages that holds the tied tensor; -1: none.
  int first_tied(const std::vector<int>& own) const {
    for (int stage : own) {
      if (is_tied(plan_, stage)) return stage;
    }
    return -1;
  }

  // All its compute made, its gradients summed.
  bool is_done(int stage) const {
    const bool reduced = stages_[stage].reduced || plan_.shape.replicas == 1 || !trains(plan_, stage);
    return stages_[stage].computed >= due(stage) && reduced;
  }

  // Parts a stage makes in a whole step.
  int64_t due(int stage) const { return int64_t{1 + parts_after_forward(plan_, stage)} * plan_.shape.microbatches; }

  // The first thing this rank should have done and has not; "" when nothing is missing.
  std::string find_missing() const {
    for (int stage : plan_.shape.stages_of(rank_)) {
      if (std::string reason = missing_compute(stage); !reason.empty()) return reason;
      if (std::string reason = missing_send(stage); !reason.empty()) return reason;
      if (trains(plan_, stage) && !stages_[stage].updated) return message(stage, "U is missing");
    }
    if (first_tied(plan_.shape.stages_of(rank_)) >= 0 && !tied_done_)
      return message("REDUCE_TIED is missing: the rank at the other end would wait for it for ever");
    const bool norm_due = plan_.norm_over_model && !plan_.evaluation;
    if (norm_due && !norm_done_) return message("REDUCE_NORM is missing: the other ranks would wait for it for ever");
    return "";
  }

  bool lacks(int stage, int part, int microbatch, uint8_t mark) const {
    return !(marks_[values_.at(stage, part, microbatch)] & mark);
  }
  std::string missing(Kind kind, int stage, int microbatch, int stream = -1) const {
    return message(text({kind, stage, microbatch, stream}), " is missing");
  }

  std::string missing_compute(int stage) const {
    const StageFlow& flow = flows_.stages[stage];
    for (int i = 0; i < plan_.shape.microbatches; ++i) {
      if (lacks(stage, Values::forward_part, i, made)) return missing(Kind::forward, stage, i);
      if (runs_loss(plan_, stage) && lacks(stage, Values::loss_part, i, made)) return missing(Kind::loss, stage, i);
      for (int stream = 0; stream < streams_out(plan_, stage); ++stream) {
        if (!lacks(stage, Values::stream_part + stream, i, made)) continue;
        return missing(stream == flow.joint ? Kind::backward : Kind::input_gradient, stage, i, stream);
      }
      if (learns(plan_, stage) && lacks(stage, Values::teach_part, i, made)) {
        return missing(Kind::weight_gradient, stage, i);
      }
    }
    return "";
  }

  std::string missing_send(int stage) const {
    const bool up = stage + 1 < plan_.shape.stages && rank_of_[stage + 1] != rank_;
    const bool down = stage > 0 && rank_of_[stage - 1] != rank_;
    for (int i = 0; i < plan_.shape.microbatches; ++i) {
      if (up && lacks(stage, Values::forward_part, i, sent)) return missing(Kind::send_forward, stage, i);
      for (int stream = 0; down && stream < streams_out(plan_, stage); ++stream) {
        if (lacks(stage, Values::stream_part + stream, i, sent)) return missing(Kind::send_backward, stage, i, stream);
      }
    }
    return "";
  }

  std::string text(const Action& action) const { return text_of(action, flows_); }

  std::string name_of(const Need& need, const Action& action) const {
    if (need.part == Values::forward_part) {
      return message("the output of stage ", need.stage, " for microbatch ", action.microbatch);
    }
    if (need.part == Values::loss_part) return message(need.stage, "L", action.microbatch);
    if (need.part == Values::teach_part) return message("the weight gradient of stage ", need.stage);
    const std::string as_pass =
        text({Kind::input_gradient, need.stage, action.microbatch, need.part - Values::stream_part});
    return message("the stream ", as_pass.substr(as_pass.find('@')), " that leaves stage ", need.stage,
                   " for microbatch ", action.microbatch);
  }

  const Plan& plan_;
  const Flows& flows_;
  Values values_;
  const std::vector<int>& rank_of_;
  std::vector<uint8_t> marks_;
  std::vector<StageState> stages_;
  int rank_ = 0;
  bool norm_done_ = false, tied_done_ = false;
};

}  // namespace

std::optional<PlanFault> find_rank_fault(const Plan& plan) { return RankCheck(plan).find(); }

}  // namespace interlock
