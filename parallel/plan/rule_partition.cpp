// What a stage does depends on the cut through two things: its own units, and which stages below it train, since these
// ask for the streams that it passes on. The search keeps the second as a state. Two histories are one state when they
// ask for the same of the stages above: when the rows of the stages that train, from this stage's column on, are the
// same set. So a model whose every unit trains has one state per stage, and horizon N at most 2^(N - 1) of them.

#include "parallel/plan/rule_partition.h"

#include <algorithm>
#include <map>
#include <set>

#include "parallel/plan/partition.h"
#include "parallel/plan/partition_search.h"

namespace interlock {
namespace {

// How often each piece of a stage runs per microbatch, over all rules.
struct Passes {
  int forward = 0, head = 0;
  int through = 0;  // to the stage's input
  int lowest = 0;   // down to the lowest unit that trains
  int weights = 0;
};

// I of every stream that goes on. W walks the units too, unless one of these walks is its own (StageFlow::joint).
void add_passes(Passes& passes, const StageFlow& flow) {
  const int streams = static_cast<int>(flow.outgoing.size());
  ++passes.forward;
  passes.head += flow.has_loss ? 1 : 0;
  passes.through += streams;
  if (!flow.learns) return;
  ++passes.weights;
  if (flow.joint < 0) ++(streams > 0 ? passes.through : passes.lowest);
}

class RuleWork {
 public:
  RuleWork(const RulePartition& given, int stages) : given_(given), stages_(stages), levels_(stages) {
    for (const RuleRequest& rule : given.rules) {
      asked_.push_back(rule);
      asked_.back().untrained.clear();
      matrices_.push_back(make_rule(asked_.back(), stages).weights);
    }
    add_up_units();
    levels_[0].push_back({{}, {}, first_unit()});
    for (int stage = 0; stage < stages; ++stage)
      for (size_t state = 0; state < levels_[stage].size(); ++state) follow(stage, state);
  }

  int states(int stage) const { return static_cast<int>(levels_[stage].size()); }
  bool begins(int stage, int state, int begin) const { return levels_[stage][state].begins[begin]; }
  int next(int stage, int state, int begin, int end) const {
    return levels_[stage][state].above[end > trained_from_[begin] ? 1 : 0];
  }
  double of(int stage, int state, int begin, int end) const {
    const bool trains = end > trained_from_[begin];
    const Passes& passes = levels_[stage][state].passes[trains ? 1 : 0];
    const double walk = input_gradient_[end] - input_gradient_[begin];
    const double short_walk = trains ? input_gradient_[end] - input_gradient_[trained_from_[begin]] : 0.0;
    return passes.forward * (forward_[end] - forward_[begin]) + passes.through * walk + passes.lowest * short_walk +
           passes.weights * (weight_gradient_[end] - weight_gradient_[begin]) +
           passes.head * (stage + 1 == stages_ ? all_of(given_.readout) : all_of(given_.heads_above[end - 1]));
  }

 private:
  using Rows = std::set<std::vector<double>>;
  struct State {
    std::vector<int> untrained;  // stages below, of one history that leads here
    std::vector<Rows> asks;      // by rule, what the stages below that train ask for, from this stage's loss on
    std::vector<bool> begins;    // with which unit the stage may begin
    Passes passes[2] = {};       // where nothing of the stage trains, and where something does
    int above[2] = {-1, -1};     // the state of the stage above
  };

  static double all_of(const Costs& costs) {
    return costs.forward_flops + costs.input_gradient_flops + costs.weight_gradient_flops;
  }

  std::vector<bool> first_unit() const {
    std::vector<bool> begins(given_.units.size() + 1, false);
    begins[0] = true;
    return begins;
  }

  void add_up_units() {
    const size_t units = given_.units.size();
    forward_ = input_gradient_ = weight_gradient_ = std::vector<double>(1, 0.0);
    for (const Costs& unit : given_.units) {
      forward_.push_back(forward_.back() + unit.forward_flops);
      input_gradient_.push_back(input_gradient_.back() + unit.input_gradient_flops);
      weight_gradient_.push_back(weight_gradient_.back() + unit.weight_gradient_flops);
    }
    trained_from_.assign(units + 1, static_cast<int>(units));
    for (size_t unit = units; unit-- > 0;)
      trained_from_[unit] = given_.units[unit].trained() > 0 ? static_cast<int>(unit) : trained_from_[unit + 1];
  }

  // The states of the stage above that this one leads to, and what the stage does on each of the two ways.
  void follow(int stage, size_t number) {
    const int units = static_cast<int>(given_.units.size()), above = stages_ - stage - 1;
    for (const bool trains : {false, true}) {
      State& state = levels_[stage][number];
      std::vector<bool> begins(units + 1, false);
      bool any = false;
      for (int begin = stage, reached = 0; begin < units - above; ++begin) {
        if (!state.begins[begin]) continue;
        const int first = trains ? trained_from_[begin] + 1 : begin + 1;
        const int last = trains ? units - above : std::min(trained_from_[begin], units - above);
        for (int end = std::max(first, reached + 1); end <= last; ++end) begins[end] = any = true;
        reached = std::max(reached, last);
      }
      if (!any) continue;
      std::vector<int> untrained = state.untrained;
      if (!trains) untrained.push_back(stage);
      for (const Flows& flows : flows_of(untrained)) add_passes(state.passes[trains ? 1 : 0], flows.stages[stage]);
      if (above > 0) state.above[trains ? 1 : 0] = reach(stage, state, trains, std::move(untrained), begins);
    }
  }

  int reach(int stage, const State& from, bool trains, std::vector<int> untrained, const std::vector<bool>& begins) {
    std::vector<Rows> asks;
    for (size_t rule = 0; rule < matrices_.size(); ++rule) asks.push_back(asked_above(stage, from, trains, rule));
    std::vector<State>& level = levels_[stage + 1];
    for (size_t i = 0; i < level.size(); ++i) {
      if (level[i].asks != asks) continue;
      for (size_t unit = 0; unit < begins.size(); ++unit) level[i].begins[unit] = level[i].begins[unit] || begins[unit];
      return static_cast<int>(i);
    }
    level.push_back({std::move(untrained), std::move(asks), begins});
    return static_cast<int>(level.size()) - 1;
  }

  // Rows lose the column of `stage`; one that is left without a weight asks for nothing.
  Rows asked_above(int stage, const State& from, bool trains, size_t rule) const {
    Rows rows;
    const auto add = [&](auto begin, auto end) {
      std::vector<double> row(begin, end);
      if (std::any_of(row.begin(), row.end(), [](double weight) { return weight > 0; })) rows.insert(std::move(row));
    };
    if (!from.asks.empty())
      for (const std::vector<double>& row : from.asks[rule]) add(row.begin() + 1, row.end());
    const std::vector<double>& own = matrices_[rule][stage];
    if (trains) add(own.begin() + stage + 1, own.end());
    return rows;
  }

  const std::vector<Flows>& flows_of(const std::vector<int>& untrained) {
    const auto [found, fresh] = flows_.try_emplace(untrained);
    if (fresh) {
      for (RuleRequest rule : asked_) {
        rule.untrained = untrained;
        found->second.push_back(derive_flows(make_rule(rule, stages_), given_.heads));
      }
    }
    return found->second;
  }

  const RulePartition& given_;
  const int stages_;
  std::vector<RuleRequest> asked_;
  std::vector<Matrix> matrices_;
  std::vector<double> forward_, input_gradient_, weight_gradient_;  // of the units before each
  std::vector<int> trained_from_;                                   // by unit: the first from it on that trains
  std::vector<std::vector<State>> levels_;                          // by stage
  std::map<std::vector<int>, std::vector<Flows>> flows_;            // by untrained stages
};

}  // namespace

std::vector<int> partition_for_rule(const RulePartition& given, int stages, const std::string& words) {
  const int units = static_cast<int>(given.units.size());
  check_stages(stages, units, words);
  const RuleWork work(given, stages);
  return PartitionSearch(work, units, stages).cut();
}

}  // namespace interlock
