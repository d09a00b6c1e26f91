#pragma once
// The evaluation of a run between steps: replicas share the held-out samples, and all ranks learn what came out.

#include <map>
#include <vector>

#include "parallel/engine/engine.h"

namespace interlock {

struct HeldOut {
  double loss = 0;               // mean over targets; 0 where there are none
  std::map<int, double> losses;  // of every head with a loss: stage -> mean over targets; the last is `loss`
  std::vector<Guess> guesses;    // in the order of the samples; none where targets are tokens
};

// After `step`, under the rule of `rule`, over at most `limit` samples. Every rank calls it and gets the same, to the
// bit, wherever the stages lie.
HeldOut evaluate_held_out(RankContext& context, Engine& engine, const Loader& loader, const LearningRule& rule,
                          const StepOptions& options, int64_t limit);

}  // namespace interlock
