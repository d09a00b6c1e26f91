#include "parallel/training/held_out.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <string>
#include <utility>

#include "parallel/plan/pair_order.h"

namespace interlock {
namespace {

struct Scored {
  int stage = 0;
  int64_t index = 0;  // of a held-out microbatch
  Evaluated said;
};

// As they travel: stage, index, sum, count, number of guesses, and the guesses.
std::string packed(const std::vector<Scored>& scored) {
  std::vector<double> numbers;
  for (const auto& [stage, index, said] : scored) {
    numbers.insert(numbers.end(), {static_cast<double>(stage), static_cast<double>(index), said.loss.sum,
                                   static_cast<double>(said.loss.count), static_cast<double>(said.guesses.size())});
    for (const Guess& guess : said.guesses) numbers.insert(numbers.end(), {guess.guessed, guess.truth, guess.above});
  }
  return {reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(double)};
}

void unpack(const std::string& bytes, std::vector<Scored>& scored) {
  std::vector<double> numbers(bytes.size() / sizeof(double));
  if (!bytes.empty()) std::memcpy(numbers.data(), bytes.data(), bytes.size());
  for (auto next = numbers.begin(); next != numbers.end();) {
    Scored one{
        static_cast<int>(next[0]), static_cast<int64_t>(next[1]), {{next[2], static_cast<int64_t>(next[3])}, {}}};
    const auto guesses = static_cast<int64_t>(next[4]);
    next += 5;
    for (int64_t i = 0; i < guesses; ++i, next += 3) one.said.guesses.push_back({next[0], next[1], next[2]});
    scored.push_back(std::move(one));
  }
}

std::vector<Scored> of_this_replica(RankContext& context, Engine& engine, const Loader& loader,
                                    const LearningRule& rule, const StepOptions& options, int64_t limit) {
  const Topology& topology = context.topology;
  Engine::EvaluationShare share{limit, {}};
  const int64_t microbatches = loader.held_out_microbatches(limit);
  for (int64_t i = topology.replica(); i < microbatches; i += topology.shape.replicas) share.indices.push_back(i);
  if (share.indices.empty()) return {};
  PlanShape shape = topology.shape;
  shape.microbatches = static_cast<int>(share.indices.size());
  const Plan plan = make_evaluation_plan(shape, rule);
  if (context.transport.ordered_pairs()) check_pair_order(plan);
  std::vector<Scored> scored;
  for (auto& [stage, said] : engine.evaluate(plan, options, share))
    for (size_t i = 0; i < said.size(); ++i) scored.push_back({stage, share.indices[i], std::move(said[i])});
  return scored;
}

}  // namespace

HeldOut evaluate_held_out(RankContext& context, Engine& engine, const Loader& loader, const LearningRule& rule,
                          const StepOptions& options, int64_t limit) {
  const std::string mine = packed(of_this_replica(context, engine, loader, rule, options, limit));
  std::vector<Scored> all;
  {
    const PulseWait waiting(engine.pulse(), waits_for_several);
    std::string parts;
    for (const std::string& part : context.world.gather(mine, 0)) parts += part;
    unpack(context.world.broadcast(parts, 0), all);
  }
  // Added in the order of the samples: the number is the same for any placement.
  std::ranges::sort(all, {}, [](const Scored& one) { return std::pair(one.stage, one.index); });
  HeldOut result;
  std::map<int, LossValue> totals;
  for (const auto& [stage, index, said] : all) {
    totals[stage].sum += said.loss.sum;
    totals[stage].count += said.loss.count;
    result.guesses.insert(result.guesses.end(), said.guesses.begin(), said.guesses.end());
  }
  for (const auto& [stage, total] : totals)
    if (total.count > 0) result.losses[stage] = total.sum / static_cast<double>(total.count);
  const auto last = result.losses.find(context.topology.shape.stages - 1);
  if (last != result.losses.end()) result.loss = last->second;
  return result;
}

}  // namespace interlock
