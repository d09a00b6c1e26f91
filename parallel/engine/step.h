#pragma once
// What the engine keeps while it performs one step or evaluation. Internal to engine/*.cpp.

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "parallel/engine/engine.h"

namespace interlock {

struct Engine::Step {
  Step(const Plan& plan_of_step, const StepOptions& what, const EvaluationShare* share = nullptr)
      : plan(plan_of_step), options(what), evaluation(share) {}
  const Plan& plan;
  StepOptions options;
  const EvaluationShare* evaluation = nullptr;
  // Targets predicted in the whole step: this replica's, and over all once `counting` is done.
  std::shared_ptr<double> targets;
  std::unique_ptr<Collective> counting;
  double waited = 0;
  double loading = 0;
  at::Tensor norm_squared_of_model;  // float64, no dimension; undefined where no norm is taken over the model
  // On a device: the actions that computed, with what they took; `since` is when the present one had all it waited for.
  struct Timed {
    Action action;
    std::string text;
    Stopwatch::Moment begin, end;
  };
  std::vector<Timed> timed;
  Stopwatch::Moment since;
  // By (stage, microbatch): inputs that arrived, outputs to send, gradients that came for a stage or go out of it.
  std::map<std::pair<int, int>, Arrival> inputs;
  std::map<std::pair<int, int>, at::Tensor> outputs;
  std::map<std::array<int, 3>, Arrival> incoming;                       // stage, microbatch, incoming stream
  std::map<std::array<int, 3>, at::Tensor> outgoing;                    // stage, microbatch, outgoing stream
  std::map<int, std::pair<std::shared_ptr<const Batch>, int>> batches;  // microbatch -> batch, forwards still to come
  // What a stage's step comes to. Stays on the device until the report is made.
  struct StageNumbers {
    std::vector<at::Tensor> losses;                   // by microbatch, no dimension
    int64_t count = 0;                                // predicted targets
    at::Tensor body_norm_squared, head_norm_squared;  // float64, no dimension, before clipping
  };
  std::map<int, StageNumbers> numbers;                 // by stage
  std::map<const TrainableGroup*, at::Tensor> norms;   // squared; each is taken once
  std::deque<std::unique_ptr<Collective>> reductions;  // gradients under way over replicas, in the order begun
  std::map<int, int64_t> begun;  // per stage the first element of the body's gradient whose sum has begun
  std::map<int, std::vector<LossSum>> evaluated;  // by stage with a loss, by microbatch
  // Under StepOptions::agreed: updates that wait until all ranks have looked.
  std::vector<Action> updates;
  bool may_update = false;
};

struct Engine::Pending {
  StepReport report;           // what the host knows already
  std::vector<size_t> losses;  // per stage of the report, how many microbatches
  bool first = false;          // of the run: its times are those of a device that starts
  bool has_model_norm = false;
  std::vector<at::Tensor> on_device;  // kept until they are copied
  at::Tensor numbers;                 // float64, on the host: per stage its losses and two norms; the model's norm
  std::vector<Step::Timed> timed;
  Stopwatch::Moment end;
  std::unique_ptr<c10::Event> copied;  // null: they are there
};

}  // namespace interlock
