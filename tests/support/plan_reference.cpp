// The direct formula of plan_interpreter.h: no plan, no streams, no order; only the matrix. And the comparison with it.

#include "runtime/core/error.h"
#include "tests/support/modular.h"
#include "tests/support/plan_interpreter.h"

namespace interlock {
namespace {

struct Parameters {
  std::vector<Modular> body, head;
};

bool loss_runs(const Plan& plan, int loss) {
  const int stages = plan.shape.stages;
  if (loss == stages - 1) return true;
  if (plan.evaluation) return false;
  for (int stage = 0; stage < stages; ++stage) {
    if (plan.rule.weights[stage][loss] != 0) return true;
  }
  return plan.heads == HeadPolicy::all;
}

struct Sums {
  std::vector<Modular> body, head, loss;
};

void add_microbatch(const Plan& plan, const Matrix& weights, const ToyNetwork& network, const Parameters& now, int step,
                    int replica, int microbatch, Sums& sums) {
  const int stages = plan.shape.stages;
  std::vector<Modular> input{network.input(step, replica, microbatch)};  // of each stage; the last entry is the output
  for (int stage = 0; stage < stages; ++stage) input.push_back(now.body[stage] * input.back());
  for (int loss = 0; loss < stages; ++loss) {
    if (!loss_runs(plan, loss)) continue;
    const Modular output = input[loss + 1];
    const Modular target = network.target(loss, step, replica, microbatch);
    sums.loss[loss] += now.head[loss] * target * output * output;
    sums.head[loss] += target * output * output;
    if (plan.evaluation) continue;
    Modular gradient = now.head[loss] * target * output;  // of the loss at the output of `stage`
    for (int stage = loss; stage >= 0; --stage) {
      sums.body[stage] += Modular::of_weight(weights[stage][loss]) * gradient * input[stage];
      gradient = gradient * now.body[stage];
    }
  }
}

}  // namespace

std::vector<StepResult> interpret_directly(const Plan& plan, int steps, uint64_t seed) {
  const ToyNetwork network{seed};
  const int stages = plan.shape.stages;
  Parameters now;
  for (int stage = 0; stage < stages; ++stage) {
    now.body.push_back(network.body(stage));
    now.head.push_back(network.head(stage));
  }
  std::vector<StepResult> results;
  for (int step = 0; step < steps; ++step) {
    const std::vector<Modular> zeros(stages);
    Sums sums{zeros, zeros, zeros};
    for (int replica = 0; replica < plan.shape.replicas; ++replica) {
      for (int i = 0; i < plan.shape.microbatches; ++i) {
        add_microbatch(plan, plan.rule.weights, network, now, step, replica, i, sums);
      }
    }
    Modular factor{1};
    if (plan.tied && !plan.evaluation) {
      sums.body.front() = sums.head.back() = sums.body.front() + sums.head.back();
      if (plan.norm_over_model) factor = factor - sums.head.back() * sums.head.back();  // counted once
    }
    StepResult result;
    for (int stage = 0; stage < stages; ++stage) {
      if (plan.norm_over_model) factor += sums.body[stage] * sums.body[stage] + sums.head[stage] * sums.head[stage];
      result.body_gradient.push_back(sums.body[stage].value);
      result.head_gradient.push_back(sums.head[stage].value);
      result.loss.push_back(sums.loss[stage].value);
    }
    results.push_back(result);
    for (int stage = 0; stage < stages && !plan.evaluation; ++stage) {
      now.body[stage] = now.body[stage] - factor * sums.body[stage];
      now.head[stage] = now.head[stage] - factor * sums.head[stage];
    }
  }
  return results;
}

std::string compare_with_direct(const Plan& plan, int steps, uint64_t seed, bool eager) {
  const Interpretation done = interpret(plan, steps, seed, eager);
  if (!done.fault.empty()) return done.fault;
  const std::vector<StepResult> direct = interpret_directly(plan, steps, seed);
  for (int step = 0; step < steps; ++step) {
    for (int stage = 0; stage < plan.shape.stages; ++stage) {
      const auto differs = [&](const std::vector<uint64_t> StepResult::*part) {
        return (done.steps[step].*part)[stage] != (direct[step].*part)[stage];
      };
      if (differs(&StepResult::body_gradient))
        return message("step ", step, ": another body gradient at stage ", stage);
      if (differs(&StepResult::head_gradient))
        return message("step ", step, ": another head gradient at stage ", stage);
      if (differs(&StepResult::loss)) return message("step ", step, ": another loss at stage ", stage);
    }
  }
  return "";
}

}  // namespace interlock
