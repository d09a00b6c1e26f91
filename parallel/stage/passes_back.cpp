// The passes back through a stage: from the last segment to the first, each differentiated by itself.
#include <ATen/ops/add.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <utility>

#include "parallel/stage/stage.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

ForwardContext again(ForwardContext context) {
  context.recomputed = true;
  return context;
}

}  // namespace

void Stage::deliver(int microbatch, int stream, at::Tensor gradient) {
  saved(microbatch).incoming[stream] = std::move(gradient);
}

at::Tensor Stage::input_gradient(int microbatch, int stream) {
  Saved& now = saved(microbatch);
  const bool record = now.teach_left && stream == flow_->joint;
  --now.streams_left;
  at::Tensor gradient = weighted_sum(now, flow_->outgoing[stream].terms);
  at::Tensor result = pass_back(now, std::move(gradient), {.to_input = true, .record = record}, {});
  release_if_done(microbatch);
  return result;
}

void Stage::weight_gradient(int microbatch, const SegmentDone& done) {
  Saved& now = saved(microbatch);
  if (!now.recorded.empty()) {
    add_recorded(now, done);
  } else if (now.teach_left) {
    now.teach_left = false;
    pass_back(now, weighted_sum(now, flow_->teach), {.teach = 1.0}, done);
  }
  now.teach_left = false;
  release_if_done(microbatch);
}

at::Tensor Stage::backward(int microbatch, int stream, const SegmentDone& done) {
  Saved& now = saved(microbatch);
  --now.streams_left;
  const double teach = std::exchange(now.teach_left, false) ? flow_->joint_factor : 0.0;
  at::Tensor gradient = weighted_sum(now, flow_->outgoing[stream].terms);
  at::Tensor result = pass_back(now, std::move(gradient), {.to_input = true, .teach = teach}, done);
  release_if_done(microbatch);
  return result;
}

at::Tensor Stage::pass_back(Saved& now, at::Tensor gradient, const Pass& pass, const SegmentDone& done) {
  if (pass.record) now.recorded.resize(segments());
  std::vector<at::Tensor> again_inputs, again_outputs;
  const bool whole_again = parts_.recompute == Recompute::stage;
  if (whole_again) {
    run(now.inputs.front().detach(), again(now.context), true, again_inputs, again_outputs);
    if (!now.needs_graph()) now.inputs.clear();
  }
  const Graph graph = whole_again ? Graph{again_inputs, again_outputs} : Graph{now.inputs, now.outputs};
  const int64_t last = pass.to_input ? 0 : lowest_trained_;
  for (int64_t segment = segments() - 1; segment >= last; --segment) {
    // Through what was left out a gradient goes as it came; that of its parameters is 0.
    if (runs(segment, now.context)) gradient = pass_segment(now, segment, graph, gradient, pass);
    if (pass.teach == 0) continue;
    complete_segment(segment);
    if (done) done(segment);
  }
  sink_.add_at(1.0);  // no longer into what this pass recorded
  return gradient;
}

// The gradient at the segment's input, where somebody wants it.
at::Tensor Stage::pass_segment(Saved& now, int64_t segment, Graph graph, const at::Tensor& gradient, const Pass& pass) {
  const bool block_again = parts_.recompute == Recompute::block, kept = parts_.recompute == Recompute::none;
  const bool pass_on = pass.to_input || segment > lowest_trained_, keep = now.needs_graph();
  at::Tensor input = graph.inputs[segment], output;
  if (block_again) {
    input = input.detach();
    if (pass_on) input.requires_grad_(true);
    c10::AutoGradMode mode(true);
    output = parts_.body->forward_segment(segment, input, again(now.context));
  } else {
    output = graph.outputs[segment];
  }
  std::vector<at::Tensor> wanted;
  if (pass_on) wanted.push_back(input);
  const std::vector<at::Tensor>& parameters = segment_values_[segment];
  if (pass.asks_parameters()) wanted.insert(wanted.end(), parameters.begin(), parameters.end());
  if (!block_again && !(kept && keep)) graph.outputs[segment] = at::Tensor();
  if (!keep || !kept) {
    if (!block_again || !keep) graph.inputs[segment] = at::Tensor();
  }
  if (wanted.empty()) return {};
  if (pass.record) {
    sink_.record_into(now.recorded[segment]);
  } else {
    sink_.add_at(pass.teach);
  }
  std::vector<at::Tensor> found = torch::autograd::grad({output}, wanted, {gradient}, kept && keep, false, true);
  for (size_t i = 0, first = pass_on ? 1 : 0; first + i < found.size(); ++i)
    if (found[first + i].defined()) sink_.add_gradient(parameters[i], term_of(found[first + i]));
  return pass_on ? std::move(found.front()) : at::Tensor();
}

void Stage::add_recorded(Saved& now, const SegmentDone& done) {
  for (int64_t segment = segments() - 1; segment >= lowest_trained_; --segment) {
    for (GradientSink::Recorded& one : std::exchange(now.recorded[segment], {}))
      one.group->add_gradient(one.parameter, one.term, flow_->joint_factor);
    complete_segment(segment);
    if (done) done(segment);
  }
}

// A parameter that the gradient did not reach has one of 0.
void Stage::complete_segment(int64_t segment) {
  if (body_group_ != nullptr) body_group_->complete(segment_first_[segment], segment_first_[segment + 1]);
}

at::Tensor Stage::weighted_sum(const Saved& now, const std::vector<Term>& terms) const {
  at::Tensor sum;
  for (const Term& term : terms) {
    const at::Tensor& part = term.source == Term::own_loss ? now.own_gradient : now.incoming[term.source];
    if (!part.defined())
      throw Error(ExitCode::gave_up, message("stage ", index_, ", microbatch ", now.microbatch,
                                             ": a gradient is needed that has not come: a mistake of the plan"));
    if (!sum.defined()) {
      sum = term.weight == 1.0 ? part : part * term.weight;
    } else {
      sum = at::add(sum, part, term.weight);
    }
  }
  return sum;
}

}  // namespace interlock
