#pragma once
// Performs a plan on one rank: walks its list of actions, hands tensors between stages on this rank, sends and receives
// the others while computing, and measures. It knows actions and streams; it knows no learning rule and no schedule.

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "parallel/engine/rank_context.h"
#include "parallel/engine/receive_slots.h"
#include "parallel/plan/plan.h"
#include "parallel/stage/loss_value.h"
#include "runtime/data/batch_stream.h"
#include "runtime/data/loader.h"
#include "runtime/device/stopwatch.h"
#include "runtime/observe/pulse.h"
#include "runtime/observe/trace.h"

namespace interlock {

// What a run that fails leaves behind, for messages.
inline constexpr const char* what_stands = "the checkpoints of the run stay as they are";

// What a step needs beside the plan.
struct StepOptions {
  int64_t step = 1;
  uint64_t seed = 1;
  double learning_rate = 0;
  double clip = 0;  // 0: off
  // Before anything is updated all ranks look together whether every loss and gradient of the step is finite; if one is
  // not, none of them updates anything, and the next step begins as this one did.
  bool agreed = false;
};

// Why no rank made the update of a step: the same on all of them.
struct Divergence {
  int64_t step = 0;
  int rank = 0;        // the first that saw it
  std::string reason;  // "the loss of stage 2 is nan at step 7, microbatch 1 of replica 0"
};

struct StageReport {
  int stage = 0;
  LossValue loss;                                       // of all microbatches of this replica; count 0 when no loss ran
  double body_norm_squared = 0, head_norm_squared = 0;  // before clipping
};

struct StepReport {
  int64_t step = 0;
  std::vector<StageReport> stages;    // of this rank
  double seconds = 0;                 // from the end of this rank's step before
  double waited = 0;                  // of these, for messages, barriers and reductions; on a GPU, without work
  double loading = 0;                 // of these, for batches that were not ready, and to count targets
  double norm_squared_of_model = -1;  // when the norm was taken over the model
  bool left_out = false;              // diverged, so that nothing was updated; its numbers say nothing
};

// Totals since the start, to hold against the plan.
struct EngineCounters {
  std::vector<uint64_t> forward,
      backward;                      // per boundary, hand-overs inside the rank included (counted where they leave)
  uint64_t messages = 0, bytes = 0;  // between ranks
};

// Time of one kind of action of a stage, for simulate. The first step, which also touches its memory first, is left
// out.
struct MeasuredCost {
  double seconds = 0;
  int64_t times = 0;
};

class Engine {
 public:
  struct Settings {
    std::shared_ptr<const Loader> loader;
    std::unique_ptr<BatchStream> batches;  // of the steps to come; what this rank's stages need of them
    std::vector<Boundary> boundaries;      // from stage k to k + 1
    std::shared_ptr<Pulse> pulse = std::make_shared<Pulse>();  // what this rank does, for others to look at
    int64_t trace_steps = 20;
    int64_t bucket_bytes = int64_t{8} << 20;  // gradients are summed over replicas in pieces of at least so many bytes
  };
  Engine(RankContext& context, Settings settings);
  ~Engine();

  // Performs a step. The reports that are there now: on the CPU that of this step; on a device, which computes behind
  // the host, that of the step before. Error(gave_up) where a loss or a gradient of a reported step is not finite.
  std::vector<StepReport> train(const Plan& plan, const StepOptions& options);
  // Of the last step performed with StepOptions::agreed, whose report may be still to come.
  const std::optional<Divergence>& divergence() const { return divergence_; }
  // Waits for the steps performed; the reports that are still to come.
  std::vector<StepReport> finish_steps();
  // What the stages here that have a loss say of it, by stage and held-out microbatch (those of this replica,
  // plan.shape.microbatches of them); guesses are the last stage's. Which have one the last step has settled.
  struct EvaluationShare {
    int64_t limit = 0;             // held-out samples in all
    std::vector<int64_t> indices;  // held-out microbatches of this replica, in order
  };
  std::map<int, std::vector<Evaluated>> evaluate(const Plan& plan, const StepOptions& options,
                                                 const EvaluationShare& share);
  // Waits for values of parameters that other replicas have updated. To be called before anybody but a forward pass
  // reads them.
  void await_values();
  // Where optimizers keep running averages of the values, these change places with the values, on every rank together;
  // once more, and all is as it was to the bit.
  void exchange_averages();
  // The time until now belongs to no step.
  void restart_clock();
  // Waits until everything sent was received.
  void drain();

  TraceRecorder& trace() { return trace_; }
  Pulse& pulse() { return *settings_.pulse; }
  const EngineCounters& counters() const { return counters_; }
  std::array<MeasuredCost, num_kinds>& measured(int stage) { return measured_[stage]; }
  const std::string& current_action() const { return current_; }

 private:
  struct Arrival {  // a tensor that is here, or will be when its handle is joined
    at::Tensor tensor;
    std::unique_ptr<Handle> handle;
    uint64_t flow = 0;
    int from = 0;  // world rank, where there is a handle
  };
  struct Gather {  // values on their way from the replicas that have updated them
    Stage* stage;
    TrainableGroup* group;
    TrainableGroup::Range range;
    std::unique_ptr<Collective> values;
  };
  struct Step;     // state of the step being performed
  struct Pending;  // what a step is to tell, while the device computes it

  void perform(Step& step, const Action& action);
  std::string traced_name(const Step& step, const Action& action) const;
  ForwardContext context_of(const Step& step, int microbatch, const Batch* batch = nullptr) const;
  void forward(Step& step, const Action& action);
  void loss(Step& step, const Action& action);
  bool scores_held_out(const Stage& stage, const Step& step) const;
  void pass(Step& step, const Action& action);
  void hand_down(Step& step, const Action& action, at::Tensor gradient);
  void send(Step& step, const Action& action);
  void post(Step& step, const Action& action);
  void begin_reduction(Step& step, TrainableGroup& group, TrainableGroup::Range range);
  void reduce_body(Step& step, Stage& stage, int64_t segment);
  void advance_reductions(Step& step);
  void reduce_gradient(Step& step, Stage& stage);
  void reduce_tied(Step& step);
  void reduce_norm(Step& step);
  void measure(Step& step, Stage& stage);
  void update(Step& step, Stage& stage);
  void update_together(Step& step);
  std::string divergence_of(const Step& step) const;
  void average_buffers(Step& step, Stage& stage);
  void begin_gather(Stage& stage, TrainableGroup& group);
  void begin_gather(Stage& stage, TrainableGroup& group, TrainableGroup::Range range);
  void finish_gather(Gather& gather);
  void await_segment(const Stage& stage, int64_t segment);
  const at::Tensor& squared_norm(Step& step, TrainableGroup& group);
  at::Tensor norm_over_stages(Step& step);
  void begin_report(Step& step);
  StepReport finish_report();
  std::vector<StepReport> reports(size_t left);
  std::map<int, std::vector<Evaluated>> read_losses(const Step& step) const;
  std::string bad_loss(int64_t step, int stage, int64_t microbatch, double loss) const;
  std::string bad_norm(int64_t step, int stage) const;
  void check_loss(int64_t step, int stage, int64_t microbatch, double loss) const;
  void check_norm(int64_t step, int stage, double norm_squared) const;

  // Whether the transport takes tensors where they are computed; else they go through the host's memory.
  bool in_place() const { return context_.transport.uses_device_memory(); }
  std::shared_ptr<const Batch> batch(Step& step, int microbatch);
  Batch to_device(Batch made) const;
  Batch held_out(const Step& step, int microbatch) const;
  int64_t width(const Step& step, int microbatch) const;
  void begin_count(Step& step);
  double targets(Step& step);
  at::Tensor take(Step& step, Arrival& arrival);
  // Counts and traces the time that `until` takes; `flow` is the message it waits for, 0: none, `rank` who sends or
  // takes it.
  void wait(Step& step, uint64_t flow, int rank, const std::function<void()>& until);
  void note_waiting(Step& step, double begin);
  MessageHeader header(const Step& step, MessageKind kind, int boundary, int stream, int loss, int microbatch,
                       const at::Tensor& tensor) const;
  uint64_t flow_id(const Step& step, MessageKind kind, int boundary, int stream, int microbatch) const;

  RankContext& context_;
  Settings settings_;
  Stopwatch stopwatch_;
  TraceRecorder trace_;
  EngineCounters counters_;
  std::map<int, std::array<MeasuredCost, num_kinds>> measured_;
  std::map<Lane, std::deque<std::unique_ptr<Handle>>> sending_;
  ReceiveSlots slots_;
  std::deque<Gather> gathers_;
  std::deque<std::unique_ptr<Pending>> pending_;
  double waited_between_ = 0;  // for gathers, since the last action
  std::string current_;
  std::optional<Divergence> divergence_;
  double last_end_ = 0;
  int64_t steps_ = 0;  // performed here
};

}  // namespace interlock
