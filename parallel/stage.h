#pragma once
// A stage: a slice of the model, its head, their optimizers, and what is saved of the microbatches in flight. It
// computes and never communicates; which passes it makes is told by its StageFlow, so no learning rule is known here.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/model.h"
#include "parallel/loss_value.h"
#include "parallel/plan/learning_rule.h"
#include "parallel/recompute.h"
#include "parallel/trainable.h"

namespace interlock {

class Stage {
 public:
  struct Parts {
    std::shared_ptr<Body> body;
    std::shared_ptr<Head> head;    // null: this stage has none
    bool head_is_readout = false;  // the model's own: its norm counts with the bodies'
    MakeOptimizer make_optimizer;
    StateShare share;
    Recompute recompute = Recompute::none;
    // The tensor shared by the first and the last stage, by its name in the body and in the readout; a stage at neither
    // end holds neither.
    std::optional<Tie> tie;
  };
  Stage(int index, Parts parts);

  int index() const { return index_; }
  // What the passes of the coming steps are. Called between steps only.
  void follow(const StageFlow& flow) { flow_ = &flow; }

  // F. `input` is detached; the batch stays alive until the last pass of the microbatch.
  at::Tensor forward(int microbatch, at::Tensor input, std::shared_ptr<const Batch> batch, ForwardContext context);
  // L. The head's gradients of sum / `targets` are accumulated, and the gradient at the output is kept when it teaches
  // a body.
  LossValue loss(int microbatch, double targets);
  // Gradient at the output that came from the stage above for incoming stream `stream`.
  void deliver(int microbatch, int stream, at::Tensor gradient);
  // I. The input gradient of outgoing stream `stream`.
  at::Tensor input_gradient(int microbatch, int stream);
  // Told when the gradients of a segment's parameters have been accumulated; segments come in descending order.
  using SegmentDone = std::function<void(int64_t segment)>;
  // W.
  void weight_gradient(int microbatch, const SegmentDone& done = {});
  // B: W and the outgoing stream `stream` in one walk.
  at::Tensor backward(int microbatch, int stream, const SegmentDone& done = {});

  // Evaluation: no graph, nothing saved.
  at::Tensor evaluate(const at::Tensor& input, const ForwardContext& context);
  LossValue evaluate_loss(const at::Tensor& output, const ForwardContext& context);

  Trainable& body() { return *body_; }
  Trainable* head() { return head_.get(); }
  // The shared tensor as this stage holds it below its body, or in its readout; null where it does not.
  Trainable* tied_body() { return tied_body_.get(); }
  Trainable* tied_head() { return tied_head_.get(); }
  // Those of the above that exist, and whose gradients are summed over replicas under the present flow.
  std::vector<Trainable*> all_parts();
  std::vector<Trainable*> active_parts();
  // Copies of the readout that the head reads through: (name of the readout's parameter, the copy).
  std::vector<std::pair<std::string, at::Tensor>> readout_copies();
  // All parameters of the head under the names they have there, the tied one included.
  std::vector<std::pair<std::string, at::Tensor>> head_tensors() const;
  // First element of body().gradient() that belongs to this segment; segments(): its size.
  int64_t segment_offset(int64_t segment) const { return segment_offsets_[segment]; }
  int64_t segments() const { return parts_.body->segments(); }

  bool head_is_readout() const { return parts_.head_is_readout; }
  bool learns() const { return flow_->learns; }
  bool runs_loss() const { return flow_->has_loss; }
  const StageFlow& flow() const { return *flow_; }
  // Incoming streams that a pass needs: the terms of outgoing stream `stream`, or of `teach` for stream < 0.
  const std::vector<Term>& terms(int stream) const;

 private:
  struct Slot {  // where the gradient of a parameter of a segment goes
    Trainable* part;
    size_t index;
  };
  struct Saved {  // of one microbatch in flight
    int microbatch = -1;
    std::shared_ptr<const Batch> batch;
    ForwardContext context;
    // Per segment what is kept of it: its input, and its output where the graph is kept.
    std::vector<at::Tensor> inputs, outputs;
    at::Tensor output, own_gradient;  // of the stage; the output until its loss has run
    std::vector<at::Tensor> incoming;
    int passes_left = 0;
    bool loss_left = false;
  };
  void attach();
  Saved& saved(int microbatch);
  void release_if_done(int microbatch);
  at::Tensor weighted_sum(const Saved& saved, const std::vector<Term>& terms) const;
  // Runs the segments from `input`; with `graph` what a walk needs of them is put into inputs and outputs.
  at::Tensor run(at::Tensor input, const ForwardContext& context, bool graph, std::vector<at::Tensor>& inputs,
                 std::vector<at::Tensor>& outputs);
  at::Tensor walk(Saved& saved, at::Tensor gradient, bool to_input, double teach, const SegmentDone& done);

  int index_;
  Parts parts_;
  std::unique_ptr<Trainable> body_, head_, tied_body_, tied_head_;
  std::vector<std::vector<at::Tensor>> segment_values_;  // parameters per segment
  std::vector<std::vector<Slot>> segment_slots_;
  std::vector<int64_t> segment_offsets_;
  std::vector<at::Tensor> head_values_;
  std::vector<Slot> head_slots_;
  const StageFlow* flow_ = nullptr;
  std::deque<Saved> saved_;
};

}  // namespace interlock
