// Each (replica, rank) is a process that performs its list; a random one goes on at a time. Every value carries the
// step it was made in, so that one left over from the step before is noticed.

#include "tests/support/plan_interpreter.h"

#include <algorithm>
#include <deque>
#include <numeric>
#include <random>

#include "runtime/core/error.h"
#include "tests/support/modular.h"

namespace interlock {
namespace {

struct Fault {
  std::string text;
};

struct Cell {
  Modular value;
  int step = -1;
};

// What I of the joint stream leaves for the W to come: the two factors of the weight products.
struct Recorded {
  Modular output_gradient, input;
  int step = -1;
};

struct Weighted {
  int source;
  Modular weight;
};

// One stage of one replica.
struct StageMemory {
  Modular body, head, body_gradient, head_gradient, loss;
  std::vector<Cell> input, output, own_gradient;      // per microbatch
  std::vector<Recorded> recorded;                     // per microbatch
  std::vector<int> taught;                            // per microbatch: the step of the last W or B
  std::vector<std::vector<Cell>> incoming, outgoing;  // per stream and microbatch
};

struct Message {
  Cell* to;  // or what is sent, for one under way
  int step, microbatch;
  Modular value;
};
struct Lane {
  std::deque<Message> posted, under_way;
};

struct Process {
  int replica, rank;
  int step = 0;
  size_t next = 0;
  bool joined = false;  // stands in a collective
};

class Interpreter {
 public:
  Interpreter(const Plan& plan, int steps, uint64_t seed, bool eager)
      : plan_(plan), shape_(plan.shape), steps_(steps), network_{seed}, eager_(eager), random_(seed) {
    const int replicas = shape_.replicas;
    stages_.resize(replicas * shape_.stages);
    streams_.resize(shape_.stages);
    for (int stage = 0; stage < shape_.stages; ++stage) {
      for (int replica = 0; replica < replicas; ++replica) prepare(memory(replica, stage), stage);
      streams_[stage] = static_cast<int>(plan.flows.stages[stage].outgoing.size()) + 1;
      for (const Outgoing& out : plan.flows.stages[stage].outgoing) outgoing_terms_.push_back(exact(out.terms));
      outgoing_terms_.emplace_back();  // keeps one slot per stage for its forward lane
      teach_terms_.push_back(exact(plan.flows.stages[stage].teach));
      joint_factors_.push_back(Modular::of_weight(plan.flows.stages[stage].joint_factor));
    }
    first_slot_.assign(shape_.stages, 0);
    std::partial_sum(streams_.begin(), streams_.end() - 1, first_slot_.begin() + 1);
    slots_ = first_slot_.back() + streams_.back();
    lanes_.resize(replicas * slots_);
    joined_reduction_.assign(shape_.stages, 0);
    joined_norm_.assign(replicas, 0);
    joined_tied_.assign(replicas, 0);
    norm_.assign(replicas, {});
    for (int replica = 0; replica < replicas; ++replica) {
      for (int rank = 0; rank < shape_.ranks; ++rank) processes_.push_back({replica, rank});
    }
    StepResult empty;
    empty.body_gradient.assign(shape_.stages, 0);
    empty.head_gradient = empty.loss = empty.body_gradient;
    results_.assign(steps, empty);
  }

  Interpretation run() {
    try {
      bool unfinished = true;
      while (unfinished) {
        unfinished = false;
        bool moved = false;
        std::shuffle(processes_.begin(), processes_.end(), random_);
        for (Process& process : processes_) {
          for (int burst = 1 + static_cast<int>(random_() % 12); burst > 0 && process.step < steps_; --burst) {
            if (!advance(process)) break;
            moved = true;
          }
          unfinished = unfinished || process.step < steps_;
        }
        if (unfinished && !moved) throw Fault{"deadlock"};
      }
      for (const Lane& lane : lanes_) {
        if (!lane.posted.empty() || !lane.under_way.empty()) throw Fault{"a message is left over"};
      }
    } catch (const Fault& fault) {
      return {fault.text, {}, 0};
    }
    return {"", results_, deferred_};
  }

 private:
  StageMemory& memory(int replica, int stage) { return stages_[replica * shape_.stages + stage]; }
  Lane& lane(int replica, int stage, int slot) { return lanes_[replica * slots_ + first_slot_[stage] + slot]; }

  std::vector<Weighted> exact(const std::vector<Term>& terms) {
    std::vector<Weighted> exact_terms;
    for (const Term& term : terms) exact_terms.push_back({term.source, Modular::of_weight(term.weight)});
    return exact_terms;
  }

  void prepare(StageMemory& stage, int number) {
    const StageFlow& flow = plan_.flows.stages[number];
    stage.body = network_.body(number);
    stage.head = network_.head(number);
    const std::vector<Cell> cells(shape_.microbatches);
    stage.input = stage.output = stage.own_gradient = cells;
    stage.recorded.assign(shape_.microbatches, {});
    stage.taught.assign(shape_.microbatches, -1);
    stage.incoming.assign(flow.incoming.size(), cells);
    stage.outgoing.assign(flow.outgoing.size(), cells);
  }

  bool advance(Process& process) {
    const std::vector<Action>& actions = plan_.ranks[process.rank];
    if (process.next < actions.size()) {
      if (!perform(process, actions[process.next])) return false;
      ++process.next;
    }
    if (process.next == actions.size()) {
      process.next = 0;
      ++process.step;
    }
    return true;
  }

  Modular get(const Cell& cell, const Process& process, const Action& action) const {
    if (cell.step != process.step) {
      throw Fault{message("rank ", process.rank, ": ", text_of(action, plan_.flows), " uses a value of step ",
                          cell.step, " in step ", process.step)};
    }
    return cell.value;
  }

  // A value that may still be on its way: false when it is.
  bool arrived(const Cell& cell, const Process& process) const { return cell.step == process.step; }

  bool perform(Process& process, const Action& action) {
    StageMemory& stage = memory(process.replica, action.stage);
    switch (action.kind) {
      case Kind::forward:
        return forward(process, action, stage);
      case Kind::loss:
        return loss(process, action, stage);
      case Kind::input_gradient:
      case Kind::weight_gradient:
      case Kind::backward:
        return backward(process, action, stage);
      case Kind::send_forward:
        return send(lane(process.replica, action.stage, 0), process, action,
                    get(stage.output[action.microbatch], process, action));
      case Kind::send_backward:
        return send(lane(process.replica, action.stage, 1 + action.stream), process, action,
                    get(stage.outgoing[action.stream][action.microbatch], process, action));
      case Kind::receive_forward:
        return receive(lane(process.replica, action.stage - 1, 0), process, action, stage.input[action.microbatch]);
      case Kind::receive_backward:
        return receive(lane(process.replica, action.stage + 1, 1 + action.stream), process, action,
                       stage.incoming[action.stream][action.microbatch]);
      case Kind::reduce_gradient:
        return reduce_gradient(process, action.stage);
      case Kind::reduce_tied:
        return reduce_tied(process);
      case Kind::reduce_norm:
        return reduce_norm(process);
      case Kind::update:
        update(process, action.stage, stage);
        return true;
    }
    return false;
  }

  bool forward(const Process& process, const Action& action, StageMemory& stage) {
    Cell& input = stage.input[action.microbatch];
    if (action.stage == 0) {
      input = {network_.input(process.step, process.replica, action.microbatch), process.step};
    } else if (shape_.rank_of(action.stage - 1) == process.rank) {
      input = {get(memory(process.replica, action.stage - 1).output[action.microbatch], process, action), process.step};
    } else if (!arrived(input, process)) {
      return false;
    }
    stage.output[action.microbatch] = {stage.body * input.value, process.step};
    return true;
  }

  bool loss(const Process& process, const Action& action, StageMemory& stage) {
    const Modular output = get(stage.output[action.microbatch], process, action);
    const Modular target = network_.target(action.stage, process.step, process.replica, action.microbatch);
    stage.own_gradient[action.microbatch] = {stage.head * target * output, process.step};
    stage.head_gradient += target * output * output;
    stage.loss += stage.head * target * output * output;
    if (plan_.evaluation) record(process.step, action.stage, stage);
    return true;
  }

  // The weighted sum at the stage's output; false while a stream is on its way.
  bool sum_of(const Process& process, const Action& action, StageMemory& stage, const std::vector<Weighted>& terms,
              Modular& sum) {
    for (const Weighted& term : terms) {
      if (term.source == Term::own_loss) {
        sum += term.weight * get(stage.own_gradient[action.microbatch], process, action);
      } else if (shape_.rank_of(action.stage + 1) == process.rank) {
        StageMemory& above = memory(process.replica, action.stage + 1);
        sum += term.weight * get(above.outgoing[term.source][action.microbatch], process, action);
      } else {
        const Cell& cell = stage.incoming[term.source][action.microbatch];
        if (!arrived(cell, process)) return false;
        sum += term.weight * cell.value;
      }
    }
    return true;
  }

  bool backward(const Process& process, const Action& action, StageMemory& stage) {
    Modular sum;
    const bool teaches_only = action.kind == Kind::weight_gradient;
    Recorded& recorded = stage.recorded[action.microbatch];
    if (teaches_only && recorded.step == process.step) {
      // Nothing but the products.
      stage.body_gradient += joint_factors_[action.stage] * recorded.output_gradient * recorded.input;
      recorded = {};
      ++deferred_;
      return true;
    }
    const std::vector<Weighted>& terms =
        teaches_only ? teach_terms_[action.stage] : outgoing_terms_[first_slot_[action.stage] + action.stream];
    if (!sum_of(process, action, stage, terms, sum)) return false;
    const Modular input = get(stage.input[action.microbatch], process, action);
    if (teaches_only) stage.body_gradient += sum * input;
    if (action.kind == Kind::backward) stage.body_gradient += joint_factors_[action.stage] * sum * input;
    const StageFlow& flow = plan_.flows.stages[action.stage];
    if (action.kind != Kind::input_gradient) {
      stage.taught[action.microbatch] = process.step;
    } else if (flow.learns && action.stream == flow.joint && stage.taught[action.microbatch] != process.step) {
      recorded = {sum, input, process.step};
    }
    if (!teaches_only) stage.outgoing[action.stream][action.microbatch] = {sum * stage.body, process.step};
    return true;
  }

  static void deliver(const Message& posted, const Message& sent) {
    if (posted.step != sent.step || posted.microbatch != sent.microbatch) {
      throw Fault{message("a receive of step ", posted.step, " microbatch ", posted.microbatch,
                          " meets a message of step ", sent.step, " microbatch ", sent.microbatch)};
    }
    *posted.to = {sent.value, sent.step};
  }

  bool send(Lane& lane, const Process& process, const Action& action, Modular value) {
    const Message sent{nullptr, process.step, action.microbatch, value};
    if (!lane.posted.empty()) {
      deliver(lane.posted.front(), sent);
      lane.posted.pop_front();
      return true;
    }
    if (!eager_ || lane.under_way.size() == 2) return false;
    lane.under_way.push_back(sent);
    return true;
  }

  bool receive(Lane& lane, const Process& process, const Action& action, Cell& to) {
    const Message posted{&to, process.step, action.microbatch, {}};
    if (lane.under_way.empty()) {
      lane.posted.push_back(posted);
    } else {
      deliver(posted, lane.under_way.front());
      lane.under_way.pop_front();
    }
    return true;
  }

  // The process joins; true once everybody has. `count` is how many have joined, `all` how many there are.
  template <class Meet>
  bool join(Process& process, int& count, int all, Meet meet) {
    // The last to come opens it; each leaves once, and the last to leave closes it for the next step.
    if (!process.joined) {
      if (count >= all) return false;
      process.joined = true;
      if (++count == all) meet();
    }
    if (count < all) return false;
    process.joined = false;
    if (++count == 2 * all) count = 0;
    return true;
  }

  bool reduce_gradient(Process& process, int stage) {
    return join(process, joined_reduction_[stage], shape_.replicas, [&] {
      Modular body, head, losses;
      for (int replica = 0; replica < shape_.replicas; ++replica) {
        body += memory(replica, stage).body_gradient;
        head += memory(replica, stage).head_gradient;
        losses += memory(replica, stage).loss;
      }
      for (int replica = 0; replica < shape_.replicas; ++replica) {
        memory(replica, stage).body_gradient = body;
        memory(replica, stage).head_gradient = head;
        memory(replica, stage).loss = losses;
      }
    });
  }

  // The body number of the first stage and the head number of the last have one gradient together.
  bool reduce_tied(Process& process) {
    const int last = shape_.stages - 1, ranks = shape_.rank_of(0) == shape_.rank_of(last) ? 1 : 2;
    return join(process, joined_tied_[process.replica], ranks, [&] {
      Modular& body = memory(process.replica, 0).body_gradient;
      Modular& head = memory(process.replica, last).head_gradient;
      body = head = body + head;
    });
  }

  bool reduce_norm(Process& process) {
    return join(process, joined_norm_[process.replica], shape_.ranks, [&] {
      norm_[process.replica] = {};
      for (int stage = 0; stage < shape_.stages; ++stage) {
        const StageMemory& own = memory(process.replica, stage);
        norm_[process.replica] += own.body_gradient * own.body_gradient + own.head_gradient * own.head_gradient;
      }
      if (!plan_.tied) return;
      const Modular twice = memory(process.replica, 0).body_gradient;
      norm_[process.replica] = norm_[process.replica] - twice * twice;
    });
  }

  void record(int step, int stage, const StageMemory& memory) {
    results_[step].body_gradient[stage] = memory.body_gradient.value;
    results_[step].head_gradient[stage] = memory.head_gradient.value;
    results_[step].loss[stage] = memory.loss.value;
  }

  void update(const Process& process, int number, StageMemory& stage) {
    const StepResult& result = results_[process.step];
    const bool first = result.body_gradient[number] == 0 && result.head_gradient[number] == 0;
    if (!first &&
        (result.body_gradient[number] != stage.body_gradient.value || result.loss[number] != stage.loss.value)) {
      throw Fault{message("replicas disagree on stage ", number)};
    }
    record(process.step, number, stage);
    const Modular factor = plan_.norm_over_model ? Modular{1} + norm_[process.replica] : Modular{1};
    stage.body = stage.body - factor * stage.body_gradient;
    stage.head = stage.head - factor * stage.head_gradient;
    stage.body_gradient = stage.head_gradient = stage.loss = {};
  }

  const Plan& plan_;
  const PlanShape& shape_;
  const int steps_;
  const ToyNetwork network_;
  const bool eager_;
  std::mt19937_64 random_;
  std::vector<StageMemory> stages_;
  std::vector<std::vector<Weighted>> outgoing_terms_, teach_terms_;
  std::vector<Modular> joint_factors_;
  std::vector<int> streams_, first_slot_;  // lanes that leave each stage: forward, then its outgoing streams
  int slots_ = 0;
  std::vector<Lane> lanes_;
  std::vector<int> joined_reduction_, joined_norm_, joined_tied_;
  std::vector<Modular> norm_;
  std::vector<Process> processes_;
  std::vector<StepResult> results_;
  int64_t deferred_ = 0;
};

}  // namespace

Interpretation interpret(const Plan& plan, int steps, uint64_t seed, bool eager) {
  return Interpreter(plan, steps, seed, eager).run();
}

}  // namespace interlock
