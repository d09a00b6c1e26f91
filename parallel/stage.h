#pragma once
// A stage: a slice of the model, its head, their optimizers, and what is saved of the microbatches in flight. It
// computes and never communicates; which passes it makes is told by its StageFlow, so no learning rule is known here.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "models/model.h"
#include "parallel/loss_value.h"
#include "parallel/plan/learning_rule.h"
#include "runtime/optimization/optimizer.h"

namespace interlock {

// Trainable tensors of a body or a head with their gradients in one contiguous buffer (one reduction, one norm).
class Trainable {
 public:
  Trainable(torch::nn::Module& module, std::unique_ptr<Optimizer> optimizer);
  const std::vector<Parameter>& parameters() const { return parameters_; }
  const std::vector<at::Tensor>& values() const { return values_; }
  at::Tensor& gradient() { return gradient_; }  // flat
  void accumulate(const std::vector<at::Tensor>& gradients, double factor);
  double squared_norm() const;  // in float64
  void scale(double factor);
  void update(double learning_rate);  // and clears the gradients
  void clear();

 private:
  std::vector<Parameter> parameters_;
  std::vector<at::Tensor> values_;
  at::Tensor gradient_;
  std::unique_ptr<Optimizer> optimizer_;
  bool empty_ = true;  // nothing accumulated since the last update: the first gradient is copied, not added to zeros
};

class Stage {
 public:
  struct Parts {
    std::shared_ptr<Body> body;
    std::unique_ptr<Optimizer> body_optimizer;
    std::shared_ptr<Head> head;  // null: this stage has none
    std::unique_ptr<Optimizer> head_optimizer;
    bool head_is_readout = false;  // the model's own: its norm counts with the bodies'
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
  // W.
  void weight_gradient(int microbatch);
  // B: W and the outgoing stream `stream` in one walk.
  at::Tensor backward(int microbatch, int stream);

  // Evaluation: no graph, nothing saved.
  at::Tensor evaluate(const at::Tensor& input, const ForwardContext& context);
  LossValue evaluate_loss(const at::Tensor& output, const ForwardContext& context);

  Trainable& body() { return body_; }
  Trainable* head() { return head_ ? head_.get() : nullptr; }
  bool head_is_readout() const { return parts_.head_is_readout; }
  bool learns() const { return flow_->learns; }
  bool runs_loss() const { return flow_->has_loss; }
  const StageFlow& flow() const { return *flow_; }
  // Incoming streams that a pass needs: the terms of outgoing stream `stream`, or of `teach` for stream < 0.
  const std::vector<Term>& terms(int stream) const;

 private:
  struct Saved {  // of one microbatch in flight
    int microbatch = -1;
    std::shared_ptr<const Batch> batch;
    ForwardContext context;
    at::Tensor input, output, own_gradient;
    std::vector<at::Tensor> incoming;
    int passes_left = 0;
    bool loss_left = false;
  };
  Saved& saved(int microbatch);
  void release_if_done(int microbatch);
  at::Tensor weighted_sum(const Saved& saved, const std::vector<Term>& terms) const;
  std::vector<at::Tensor> walk(Saved& saved, const at::Tensor& gradient, bool to_input, bool to_parameters);

  int index_;
  Parts parts_;
  Trainable body_;
  std::unique_ptr<Trainable> head_;
  const StageFlow* flow_ = nullptr;
  std::deque<Saved> saved_;
};

}  // namespace interlock
