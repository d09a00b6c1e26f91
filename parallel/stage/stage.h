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
#include <utility>
#include <vector>

#include "models/model.h"
#include "parallel/plan/learning_rule.h"
#include "parallel/stage/gradient_sink.h"
#include "parallel/stage/loss_value.h"
#include "parallel/stage/parameter_store.h"
#include "parallel/stage/recompute.h"
#include "parallel/stage/trainable_group.h"

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
    // By the global name of a parameter, the factor of its learning rate; empty: 1.
    std::function<double(const std::string&)> rate_factor;
    // Segments that may be left out of a microbatch's passes in training: of every segment the layer that it is or is a
    // part of, -1 where it always runs; and whether a layer runs, a pure function. Empty: all always run.
    std::vector<int64_t> layers;
    std::function<bool(int64_t layer, const ForwardContext&)> runs;
  };
  // Parameters that require no gradient are frozen: they belong to no group.
  Stage(int index, Parts parts);

  int index() const { return index_; }
  // What the passes of the coming steps are. Called between steps only.
  void follow(const StageFlow& flow) { flow_ = &flow; }

  // F. `input` is detached; the batch stays alive until the last pass of the microbatch.
  at::Tensor forward(int microbatch, at::Tensor input, std::shared_ptr<const Batch> batch, ForwardContext context);
  // L. The head's gradients of sum / `targets` are accumulated, and the gradient at the output is kept when it teaches
  // a body.
  LossSum loss(int microbatch, double targets);
  // Gradient at the output that came from the stage above for incoming stream `stream`.
  void deliver(int microbatch, int stream, at::Tensor gradient);
  // I. The input gradient of outgoing stream `stream`. Of the stream that also teaches (StageFlow::joint), what the
  // weight pass needs is recorded on the way.
  at::Tensor input_gradient(int microbatch, int stream);
  // Told when the gradients of a segment's parameters have been accumulated; segments come in descending order.
  using SegmentDone = std::function<void(int64_t segment)>;
  // W. After the I that recorded for it: the weight products alone.
  void weight_gradient(int microbatch, const SegmentDone& done = {});
  // B: W and the outgoing stream `stream` in one pass through the body.
  at::Tensor backward(int microbatch, int stream, const SegmentDone& done = {});

  // Evaluation: no graph, nothing saved.
  at::Tensor evaluate(const at::Tensor& input, ForwardContext context);
  std::pair<at::Tensor, LossSum> evaluate_with_loss(const at::Tensor& input, ForwardContext context);

  // The layers of this stage that the passes of such a microbatch leave out, ascending. A part of a layer here and a
  // part of it elsewhere are left out together.
  std::vector<int64_t> left_out(const ForwardContext& context) const;

  // Asked before the values of a segment, or of the head (segment -1), are used: they may still be on their way.
  using SegmentNeeded = std::function<void(int64_t segment)>;
  void before_use(SegmentNeeded needed) { needed_ = std::move(needed); }

  ParameterStore& store() { return store_; }
  const std::vector<std::unique_ptr<TrainableGroup>>& groups() const { return groups_; }
  // Those that are updated under the present flow.
  std::vector<TrainableGroup*> active_groups() const;
  // The group of the body's own parameters, without the shared tensor; null when none of them trains.
  TrainableGroup* body_group() const { return body_group_; }
  // After an update of the elements [range) of a group: copies in the type of products follow.
  void refresh(TrainableGroup& group, TrainableGroup::Range range);
  // Buffers as they are now, and back to that: a forward pass may write them before anybody knows what came of it.
  void keep_buffers();
  void restore_buffers();
  // Copies of the readout that the head reads through: (name of the readout's parameter, the copy).
  std::vector<std::pair<std::string, at::Tensor>> readout_copies();
  // All parameters of the head under the names they have there, the tied one included.
  std::vector<std::pair<std::string, at::Tensor>> head_tensors() const;
  // First element of body_group()'s buffers that belongs to this segment; segments(): their size.
  int64_t segment_offset(int64_t segment) const { return segment_offsets_[segment]; }
  int64_t segments() const { return parts_.body->segments(); }

  bool head_is_readout() const { return parts_.head_is_readout; }
  // Whether the body is taught: a tensor of it trains, be it the shared one alone.
  bool learns() const { return flow_->learns && lowest_trained_ < segments(); }
  bool runs_loss() const { return flow_->has_loss; }
  const StageFlow& flow() const { return *flow_; }
  // Incoming streams that a pass needs: the terms of outgoing stream `stream`, or of `teach` for stream < 0.
  const std::vector<Term>& terms(int stream) const;

 private:
  using Record = std::vector<std::vector<GradientSink::Recorded>>;  // by segment
  struct Saved {                                                    // of one microbatch in flight
    int microbatch = -1;
    std::shared_ptr<const Batch> batch;
    ForwardContext context;
    // Per segment what is kept of it: its input, and its output where the graph is kept.
    std::vector<at::Tensor> inputs, outputs;
    at::Tensor output, own_gradient;  // of the stage; the output until its loss has run
    std::vector<at::Tensor> incoming;
    Record recorded;
    int streams_left = 0;  // to pass on
    bool teach_left = false, loss_left = false;
    // Whether a pass through the body is still to come, for which its graph is kept.
    bool needs_graph() const { return streams_left > 0 || (teach_left && recorded.empty()); }
  };
  // What one pass through the body is for.
  struct Pass {
    bool to_input = false;
    double teach = 0;     // the factor at which gradients of parameters are added; 0: none are asked for
    bool record = false;  // they are recorded instead
    bool asks_parameters() const { return teach != 0 || record; }
  };
  // Segments of one pass: as kept, or computed again.
  struct Graph {
    std::vector<at::Tensor>&inputs, &outputs;
  };

  void group_parameters();
  void find_segments();
  TrainableGroup& add_group(const std::vector<TrainableGroup::NamedTensor>& tensors, TrainableGroup::Options options);
  Saved& saved(int microbatch);
  void release_if_done(int microbatch);
  void need(int64_t segment) const;
  int64_t first_segment() const;
  bool runs(int64_t segment, const ForwardContext& context) const;
  at::Tensor weighted_sum(const Saved& saved, const std::vector<Term>& terms) const;
  at::Tensor evaluate(const at::Tensor& input, const ForwardContext& context, at::Tensor* features);
  at::Tensor run(at::Tensor input, const ForwardContext& context, bool graph, std::vector<at::Tensor>& inputs,
                 std::vector<at::Tensor>& outputs, at::Tensor* features = nullptr);
  at::Tensor pass_back(Saved& saved, at::Tensor gradient, const Pass& pass, const SegmentDone& done);
  at::Tensor pass_segment(Saved& saved, int64_t segment, Graph graph, const at::Tensor& gradient, const Pass& pass);
  void add_recorded(Saved& saved, const SegmentDone& done);
  void complete_segment(int64_t segment);

  int index_;
  Parts parts_;
  ParameterStore store_;
  std::vector<std::pair<at::Tensor, at::Tensor>> kept_buffers_;  // and their values then
  std::vector<std::unique_ptr<TrainableGroup>> groups_;
  TrainableGroup* body_group_ = nullptr;
  GradientSink sink_;
  SegmentNeeded needed_;
  std::vector<std::vector<at::Tensor>> segment_values_;  // parameters that train, per segment
  std::vector<size_t> segment_first_;                    // of each segment, the first parameter in body_group()
  std::vector<int64_t> segment_offsets_;
  int64_t lowest_trained_ = 0;           // segment; segments() when none trains
  std::vector<at::Tensor> head_values_;  // parameters that train
  const StageFlow* flow_ = nullptr;
  std::deque<Saved> saved_;
};

}  // namespace interlock
