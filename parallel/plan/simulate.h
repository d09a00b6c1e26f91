#pragma once
// The timing of a plan from per-stage costs: step time, idle share, peak memory, and when every action runs.

#include <vector>

#include "parallel/plan/plan.h"

namespace interlock {

struct StageCosts {  // seconds (or units) per microbatch, and bytes
  // I takes input_gradient, B both. W too takes both, since it walks the body, but for a deferred one, which takes
  // weight_gradient alone (deferred_weights.h).
  double forward = 1, input_gradient = 1, weight_gradient = 1;
  double loss = 0;                   // head forward and backward
  double update = 0;                 // per step
  double message_bytes = 0;          // of one output of this stage, or of one gradient at it
  double activation_bytes = 0;       // saved per microbatch alive
  double fixed_bytes = 0;            // parameters, gradients, optimizer state, head
  double working_bytes = 0;          // beside all that is kept, while the stage passes back and frees what was saved
  double kept_working_bytes = 0;     // the same of a pass that keeps what was saved for another, or records
  double loss_working_bytes = 0;     // and while its head runs
  double recorded_bytes = 0;         // per microbatch between I and its deferred W: what I records
  double released_bytes = 0;         // of activation_bytes, what then is free once no stream is left to pass on
  double sum_bytes = 0;              // beside the body's gradients while they are summed over replicas
  double head_sum_bytes = 0;         // and beside the head's
  double forward_working_bytes = 0;  // beside all that is kept, while a stage that keeps no graph runs forward
};

struct SimulationCosts {
  std::vector<StageCosts> stages;
  double seconds_per_byte = 0, latency = 0;  // of a message between ranks
  double tied_bytes = 0;                     // of the gradient that first and last stage exchange
  // Forward, input gradient and weight gradient of every stage 1, heads, updates and messages 0.
  static SimulationCosts unit(int stages);
};

struct SimulatedAction {
  int rank = 0;
  int64_t index = 0;  // in plan.ranks[rank]
  int step = 0;       // 0-based simulated step
  double begin = 0, end = 0;
};

struct Simulation {
  double step = 0;        // steady: time from the end of one step to the end of the next
  double idle_share = 0;  // mean over ranks of the part of a steady step that is not compute
  std::vector<double> idle_share_of_rank;
  std::vector<double> peak_bytes;         // per rank
  std::vector<SimulatedAction> timeline;  // compute actions of all simulated steps, when asked for
};

// Runs `steps` steps one after another without a barrier (a stage goes on as soon as its own list is done; at most two
// unreceived messages per lane) and reads the steady step off the last ones. Without a timeline it goes on until steps
// take equally long, as far as the size of the plan allows.
Simulation simulate(const Plan& plan, const SimulationCosts& costs, int steps = 4, bool keep_timeline = false);

// Smallest number of microbatches from which `global` under the same schedule ("auto": each under its best) is at least
// as fast per step as this rule: for furthest(N) and sum(N) under schedules that do not take B apart the formula m* = 3
// (K - N) / (N - 1 + h), h = a head's cost in units of a third of a stage's forward + backward; else found by
// simulation. Returns a negative number when the rule is faster at every number tried (up to `most`), 0 when global is
// faster from the first microbatch. By the formula (`true`) or by simulation, against global learning with the same
// stages frozen.
bool has_break_even_formula(const RuleRequest& asked, const std::string& schedule);
double break_even_microbatches(const PlanRequest& request, const RuleRequest& asked, const SimulationCosts& costs,
                               int most = 4096);

}  // namespace interlock
