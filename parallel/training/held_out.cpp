#include "parallel/training/held_out.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <string>
#include <utility>

#include "parallel/plan/pair_order.h"

namespace interlock {
namespace {

using Scored = std::pair<int64_t, Evaluated>;  // the number of a held-out microbatch, and what came out

// As they travel: index, sum, count, number of guesses, and the guesses.
std::string packed(const std::vector<Scored>& scored) {
  std::vector<double> numbers;
  for (const auto& [index, one] : scored) {
    numbers.insert(numbers.end(), {static_cast<double>(index), one.loss.sum, static_cast<double>(one.loss.count),
                                   static_cast<double>(one.guesses.size())});
    for (const Guess& guess : one.guesses) numbers.insert(numbers.end(), {guess.guessed, guess.truth, guess.above});
  }
  return {reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(double)};
}

void unpack(const std::string& bytes, std::vector<Scored>& scored) {
  std::vector<double> numbers(bytes.size() / sizeof(double));
  if (!bytes.empty()) std::memcpy(numbers.data(), bytes.data(), bytes.size());
  for (auto next = numbers.begin(); next != numbers.end();) {
    Scored one{static_cast<int64_t>(next[0]), {{next[1], static_cast<int64_t>(next[2])}, {}}};
    const auto guesses = static_cast<int64_t>(next[3]);
    next += 4;
    for (int64_t i = 0; i < guesses; ++i, next += 3) one.second.guesses.push_back({next[0], next[1], next[2]});
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
  std::vector<Evaluated> evaluated = engine.evaluate(plan, options, share);
  std::vector<Scored> scored;
  for (size_t i = 0; i < evaluated.size(); ++i) scored.emplace_back(share.indices[i], std::move(evaluated[i]));
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
  std::sort(all.begin(), all.end(), [](const Scored& a, const Scored& b) { return a.first < b.first; });
  HeldOut result;
  LossValue total;
  for (const auto& [index, one] : all) {
    total.sum += one.loss.sum;
    total.count += one.loss.count;
    result.guesses.insert(result.guesses.end(), one.guesses.begin(), one.guesses.end());
  }
  if (total.count > 0) result.loss = total.sum / static_cast<double>(total.count);
  return result;
}

}  // namespace interlock
