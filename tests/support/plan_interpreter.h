#pragma once
// Executes a plan on all its ranks and replicas with numbers modulo the prime 2^61 - 1 in place of tensors, in a random
// interleaving, and computes the same results without any plan. A stage multiplies by one number, a head weighs the
// square of the output. W after its own I uses what I recorded, and nothing else, as a stage does; so gradients are
// exact, and a wrong weight, stream, order or stale value shows (up to a chance of 2^-61).

#include <cstdint>
#include <string>
#include <vector>

#include "parallel/plan/plan.h"

namespace interlock {

// One step's results, per stage, summed over microbatches and replicas.
struct StepResult {
  std::vector<uint64_t> body_gradient, head_gradient, loss;
  friend bool operator==(const StepResult&, const StepResult&) = default;
};

struct Interpretation {
  std::string fault;  // "" when the plan ran to its end and everything fitted
  std::vector<StepResult> steps;
  int64_t deferred = 0;  // W that ran what I had recorded, over all steps and replicas
};

// Performs the plan `steps` times in a row. Sends block until their receive is posted, or (`eager`) until fewer than
// two messages of their lane are under way.
Interpretation interpret(const Plan& plan, int steps, uint64_t seed, bool eager);

// The direct formula: body gradient of stage k = sum over microbatches, replicas and losses j of A[k][j] * dL_j / dW_k.
std::vector<StepResult> interpret_directly(const Plan& plan, int steps, uint64_t seed);

// interpret() against interpret_directly(): "" when equal, else what differs.
std::string compare_with_direct(const Plan& plan, int steps, uint64_t seed, bool eager);

}  // namespace interlock
