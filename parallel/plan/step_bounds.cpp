// Every pass has a head: the longest way to it through the passes of one microbatch, from where a step begins. Whatever
// the order, any set of passes of one rank takes its least head and all its compute.
//
// W costs what it costs alone: where I of the same sum goes before it that is the products alone. But from the sum at
// the output to its end a stage is always walked, by W itself, by B, or by I before W.

#include "parallel/plan/step_bounds.h"

#include <algorithm>
#include <limits>
#include <map>

#include "parallel/plan/passes.h"

namespace interlock {
namespace {

constexpr double none = -std::numeric_limits<double>::infinity();

class Ways {
 public:
  Ways(const Plan& plan, const SimulationCosts& costs) : plan_(plan), costs_(costs), values_(plan.flows, 1) {
    begin_.resize(values_.parts());
    end_.resize(values_.parts());
  }

  // Fills the head of every pass that a way leads to from the forward of `origin`, and its end; the others stay none.
  void run_up(int origin) {
    std::fill(begin_.begin(), begin_.end(), none);
    std::fill(end_.begin(), end_.end(), none);
    for (int stage = origin; stage < plan_.shape.stages; ++stage) {
      const bool first = stage == origin;
      set(stage, Values::forward_part, first ? 0 : at(stage - 1, Values::forward_part) + hop(stage - 1, stage));
      if (runs_loss(plan_, stage)) set(stage, Values::loss_part, at(stage, Values::forward_part));
    }
    for (int stage = plan_.shape.stages - 1; stage >= 0; --stage) {
      const StageFlow& flow = plan_.flows.stages[stage];
      for (int stream = 0; stream < static_cast<int>(flow.outgoing.size()); ++stream)
        set(stage, Values::stream_part + stream, made(stage, flow.outgoing[stream].terms));
      if (flow.learns) set(stage, Values::teach_part, made(stage, flow.teach));
    }
  }

  double head(int stage, int part) const { return begin_[values_.part(stage, part)]; }
  double end(int stage, int part) const { return end_[values_.part(stage, part)]; }

  // From the beginning of a pass to its end.
  double length(int stage, int part) const {
    const StageCosts& cost = costs_.stages[stage];
    if (part == Values::forward_part) return cost.forward;
    if (part == Values::loss_part) return cost.loss;
    return cost.input_gradient + (part == Values::teach_part ? cost.weight_gradient : 0);
  }
  // What it keeps its rank busy for.
  double work(int stage, int part) const {
    if (part == Values::teach_part && plan_.flows.stages[stage].joint >= 0) return costs_.stages[stage].weight_gradient;
    return length(stage, part);
  }
  template <class Visit>
  void visit_parts(int stage, Visit&& visit) const {
    visit(static_cast<int>(Values::forward_part));
    if (runs_loss(plan_, stage)) visit(static_cast<int>(Values::loss_part));
    if (learns(plan_, stage)) visit(static_cast<int>(Values::teach_part));
    for (int stream = 0; stream < streams_out(plan_, stage); ++stream) visit(Values::stream_part + stream);
  }

 private:
  double at(int stage, int part) const { return end_[values_.part(stage, part)]; }
  void set(int stage, int part, double begin) {
    begin_[values_.part(stage, part)] = begin;
    end_[values_.part(stage, part)] = begin + length(stage, part);
  }
  double hop(int below, int above) const {
    if (plan_.shape.rank_of(below) == plan_.shape.rank_of(above)) return 0;
    return costs_.latency + costs_.stages[below].message_bytes * costs_.seconds_per_byte;
  }
  // When all terms of a sum at the output of `stage` are there.
  double made(int stage, const std::vector<Term>& terms) const {
    double ready = none;
    visit_terms(terms, stage, [&](const Need& need) {
      ready = std::max(ready, at(need.stage, need.part) + (need.stage == stage ? 0 : hop(stage, need.stage)));
    });
    return ready;
  }

  const Plan& plan_;
  const SimulationCosts& costs_;
  const Values values_;
  std::vector<double> begin_, end_;
};

class Bounds {
 public:
  Bounds(const Plan& plan, const SimulationCosts& costs) : plan_(plan), costs_(costs), ways_(plan, costs) {}

  StepBounds find() {
    const PlanShape& shape = plan_.shape;
    for (int rank = 0; rank < shape.ranks; ++rank) {
      const std::vector<int> own = shape.stages_of(rank);
      double busy = 0;
      for (const int stage : own) busy += work_of(stage);
      bounds_.busiest_rank = std::max(bounds_.busiest_rank, busy);
      // Nothing of a step runs on a rank before the forward of its lowest stage.
      ways_.run_up(own.front());
      add_rank(own, 0, 0);
    }
    const double after_update = updates_after_meeting(shape.rank_of(0));
    if (plan_.norm_over_model || plan_.tied) ways_.run_up(0);
    if (plan_.norm_over_model) {
      for (int rank = 0; rank < shape.ranks; ++rank) add_rank(shape.stages_of(rank), after_update, 0);
    } else if (plan_.tied) {
      const int first = shape.rank_of(0), last = shape.rank_of(shape.stages - 1);
      const double exchange = first == last ? 0 : costs_.latency + costs_.tied_bytes * costs_.seconds_per_byte;
      add_rank(shape.stages_of(last), after_update, exchange);
    }
    bounds_.busiest_link = busiest_link();
    return bounds_;
  }

 private:
  // Outputs go up once for each microbatch, gradients down once for each stream.
  double busiest_link() const {
    std::map<std::pair<int, int>, double> links;  // from, to -> seconds
    double most = 0;
    const auto add = [&](int from, int to, double messages, double bytes) {
      if (from == to) return;
      double& seconds = links[{from, to}];
      seconds += messages * bytes * costs_.seconds_per_byte * plan_.shape.microbatches;
      most = std::max(most, seconds);
    };
    for (int stage = 0; stage + 1 < plan_.shape.stages; ++stage) {
      const int below = plan_.shape.rank_of(stage), above = plan_.shape.rank_of(stage + 1);
      const double bytes = costs_.stages[stage].message_bytes;
      add(below, above, 1, bytes);
      add(above, below, streams_out(plan_, stage + 1), bytes);
    }
    return most;
  }

  // Of a stage in a step, its update included.
  double work_of(int stage) const {
    double work = trains(plan_, stage) ? costs_.stages[stage].update : 0;
    ways_.visit_parts(stage, [&](int part) { work += ways_.work(stage, part) * plan_.shape.microbatches; });
    return work;
  }

  // Updates of a rank that come after the others have met, and before it begins the next step.
  double updates_after_meeting(int rank) const {
    double updates = 0;
    for (const int stage : plan_.shape.stages_of(rank))
      if (trains(plan_, stage) && (plan_.norm_over_model || is_tied(plan_, stage)))
        updates += costs_.stages[stage].update;
    return updates;
  }

  // `before` and `after`: what every step has besides.
  void add_rank(const std::vector<int>& own, double before, double after) {
    std::vector<std::pair<double, double>> passes;  // head, work
    for (const int stage : own) {
      ways_.visit_parts(stage, [&](int part) {
        const double head = ways_.head(stage, part);
        if (head == none) return;
        passes.emplace_back(head, ways_.work(stage, part) * plan_.shape.microbatches);
        bounds_.longest_chain = std::max(bounds_.longest_chain, before + ways_.end(stage, part) + after);
      });
    }
    std::ranges::sort(passes);
    double later = 0;
    for (size_t i = passes.size(); i-- > 0;) {
      later += passes[i].second;
      bounds_.waiting_rank = std::max(bounds_.waiting_rank, before + passes[i].first + later + after);
    }
  }

  const Plan& plan_;
  const SimulationCosts& costs_;
  Ways ways_;
  StepBounds bounds_;
};

}  // namespace

double StepBounds::best() const { return std::max({busiest_rank, longest_chain, waiting_rank, busiest_link}); }

StepBounds step_bounds(const Plan& plan, const SimulationCosts& costs) { return Bounds(plan, costs).find(); }

}  // namespace interlock
