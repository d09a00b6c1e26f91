// Up to 8 stages on any number of ranks, placed by name or by hand, 1 to 3 replicas, 1 to 9 microbatches; named rules
// and random matrices of small whole numbers with zeros (often with proportional columns, so that streams merge),
// stages frozen, or without anything that trains, at random.

#include "tests/support/random_plan.h"

#include <algorithm>
#include <deque>
#include <random>

#include "parallel/plan/lower.h"
#include "parallel/plan/schedule.h"

namespace interlock {
namespace {

class Dice {
 public:
  explicit Dice(uint64_t seed) : random_(seed) {}
  int from(int least, int most) { return std::uniform_int_distribution<int>(least, most)(random_); }
  bool one_in(int n) { return from(1, n) == 1; }

 private:
  std::mt19937_64 random_;
};

Matrix random_matrix(int stages, const std::vector<int>& frozen, Dice& dice) {
  Matrix weights(stages, std::vector<double>(stages, 0.0));
  const int zeros = dice.from(0, 3);
  const bool products = dice.one_in(3);  // rank one where it is not zero: many columns are proportional
  std::vector<int> of_row(stages), of_column(stages);
  for (int i = 0; i < stages; ++i) {
    of_row[i] = dice.from(1, 3);
    of_column[i] = dice.from(1, 3);
  }
  for (int stage = 0; stage < stages; ++stage) {
    if (std::find(frozen.begin(), frozen.end(), stage) != frozen.end()) continue;
    for (int loss = stage; loss < stages; ++loss) {
      if (dice.from(0, 3) < zeros) continue;
      weights[stage][loss] = products ? of_row[stage] * of_column[loss] : dice.from(1, 9);
    }
    if (std::all_of(weights[stage].begin(), weights[stage].end(), [](double weight) { return weight == 0; })) {
      weights[stage][dice.from(stage, stages - 1)] = dice.from(1, 9);
    }
  }
  return weights;
}

// By name where the ranks divide the stages; else, and often there too, by hand: every rank has one stage, the others
// lie anywhere.
Placement random_placement(int stages, Dice& dice, int& ranks) {
  ranks = dice.from(1, stages);
  const std::vector<std::string> names = Placement::names();
  if (stages % ranks == 0 && !dice.one_in(3))
    return Placement::named(names[dice.from(0, static_cast<int>(names.size()) - 1)], stages, ranks);
  std::vector<int> rank_of_stage(stages);
  for (int stage = 0; stage < stages; ++stage) rank_of_stage[stage] = stage < ranks ? stage : dice.from(0, ranks - 1);
  for (int stage = stages - 1; stage > 0; --stage) std::swap(rank_of_stage[stage], rank_of_stage[dice.from(0, stage)]);
  return Placement::by_hand(rank_of_stage);
}

// Any that has an order for the shape, with or without a limit where it takes one.
void choose_schedule_at_random(PlanRequest& request, Dice& dice) {
  std::vector<std::string> fitting;
  for (const std::string& name : schedule_names())
    if (name == auto_schedule || Schedules::instance().create("schedule", name)->refusal(request.shape).empty())
      fitting.push_back(name);
  request.schedule = fitting[dice.from(0, static_cast<int>(fitting.size()) - 1)];
  if (request.schedule == auto_schedule || !dice.one_in(2)) return;
  if (Schedules::instance().create("schedule", request.schedule)->takes_in_flight())
    request.in_flight = dice.from(1, 2 * request.shape.stages - 1);
}

}  // namespace

PlanRequest random_request(uint64_t seed) {
  Dice dice(seed);
  PlanRequest request;
  const int stages = dice.from(1, 8);
  request.shape.stages = stages;
  request.shape.placement = random_placement(stages, dice, request.shape.ranks);
  request.shape.replicas = dice.one_in(3) ? dice.from(2, 3) : 1;
  request.shape.microbatches = dice.from(1, 9);
  request.heads = dice.one_in(3) ? HeadPolicy::all : HeadPolicy::needed;
  choose_schedule_at_random(request, dice);
  request.norm_over_model = dice.one_in(3);
  request.tied = dice.one_in(3);

  RuleRequest asked;
  for (int stage = 0; stage < stages; ++stage) {
    if (dice.one_in(8)) asked.frozen.push_back(stage);
  }
  for (int stage = 0; stage < stages; ++stage) {
    if (dice.one_in(12)) asked.untrained.push_back(stage);
  }
  const std::vector<std::string> names = rule_names();
  asked.rule = dice.one_in(2) ? "matrix" : names[dice.from(0, static_cast<int>(names.size()) - 1)];
  asked.horizon = dice.from(1, stages);
  asked.window = dice.from(1, stages);
  asked.weight = dice.from(0, 10) / 10.0;
  if (asked.rule == "matrix") asked.matrix = random_matrix(stages, asked.frozen, dice);
  request.rule = make_rule(asked, stages);
  return request;
}

Plan split_at_random(const Plan& plan, uint64_t seed) {
  Dice dice(seed);
  std::vector<std::vector<Action>> order(plan.shape.ranks);
  for (int rank = 0; rank < plan.shape.ranks; ++rank) {
    std::vector<std::deque<Action>> waiting(plan.shape.stages);  // W put off, per stage
    const auto run_waiting = [&](int stage, int one_in) {
      for (std::deque<Action>& list = waiting[stage]; !list.empty() && dice.one_in(one_in); list.pop_front())
        order[rank].push_back(list.front());
    };
    for (const Action& action : plan.ranks[rank]) {
      if (action.kind > Kind::backward) continue;
      const Action weights{Kind::weight_gradient, action.stage, action.microbatch, -1};
      const Action input{Kind::input_gradient, action.stage, action.microbatch, action.stream};
      if (action.kind != Kind::backward) {
        order[rank].push_back(action);
      } else if (dice.one_in(4)) {
        run_waiting(action.stage, 1);
        order[rank].push_back(action);
      } else if (dice.one_in(4)) {
        run_waiting(action.stage, 1);
        order[rank].insert(order[rank].end(), {weights, input});
      } else {
        order[rank].push_back(input);
        waiting[action.stage].push_back(weights);
      }
      for (int stage = 0; stage < plan.shape.stages; ++stage) run_waiting(stage, 4);
    }
    for (int stage = 0; stage < plan.shape.stages; ++stage) run_waiting(stage, 1);
  }
  Plan split = plan;
  lower(split, order);
  return split;
}

}  // namespace interlock
