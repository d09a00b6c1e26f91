#include "parallel/stage.h"

#include <ATen/ops/add.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cassert>

namespace interlock {
namespace {

// The parameters of a module, without the one that is tied.
std::vector<Trainable::NamedTensor> own_tensors(const torch::nn::Module& module, const std::string& tied) {
  std::vector<Trainable::NamedTensor> tensors;
  for (const auto& named : module.named_parameters())
    if (named.key() != tied) tensors.push_back({named.key(), named.value()});
  return tensors;
}

}  // namespace

Stage::Stage(int index, Parts parts) : index_(index), parts_(std::move(parts)) {
  const Tie tie = parts_.tie.value_or(Tie{});
  const auto trainable = [&](const std::vector<Trainable::NamedTensor>& tensors) {
    return std::make_unique<Trainable>(tensors, parts_.make_optimizer, parts_.share);
  };
  body_ = trainable(own_tensors(*parts_.body, tie.body));
  if (const auto named = parts_.body->named_parameters(); named.contains(tie.body))
    tied_body_ = trainable({{tie.body, named[tie.body]}});
  if (parts_.head) {
    head_ = trainable(own_tensors(*parts_.head, tie.readout));
    // Under the name of the first: the optimizer's state and messages about it are those of one tensor.
    if (const auto named = parts_.head->named_parameters(); named.contains(tie.readout))
      tied_head_ = trainable({{tie.body, named[tie.readout]}});
  }
  attach();
}

// Finds for every parameter of a segment or of the head where its gradient goes.
void Stage::attach() {
  const auto slot_of = [](const at::Tensor& value, Trainable* part, Trainable* tied) {
    for (Trainable* candidate : {part, tied})
      for (size_t i = 0; candidate != nullptr && i < candidate->parameters().size(); ++i)
        if (candidate->parameters()[i].value.is_same(value)) return Slot{candidate, i};
    assert(false && "a parameter of the module that nobody trains");
    return Slot{part, 0};
  };
  segment_offsets_.push_back(0);
  for (int64_t segment = 0; segment < segments(); ++segment) {
    segment_values_.push_back(parts_.body->segment_parameters(segment));
    std::vector<Slot>& slots = segment_slots_.emplace_back();
    int64_t elements = 0;
    for (const at::Tensor& value : segment_values_.back()) {
      slots.push_back(slot_of(value, body_.get(), tied_body_.get()));
      if (slots.back().part == body_.get()) elements += value.numel();
    }
    segment_offsets_.push_back(segment_offsets_.back() + elements);
  }
  if (!parts_.head) return;
  head_values_ = parts_.head->parameters();
  for (const at::Tensor& value : head_values_) head_slots_.push_back(slot_of(value, head_.get(), tied_head_.get()));
}

std::vector<Trainable*> Stage::all_parts() {
  std::vector<Trainable*> parts;
  for (Trainable* part : {body_.get(), tied_body_.get(), head_.get(), tied_head_.get()})
    if (part != nullptr) parts.push_back(part);
  return parts;
}

std::vector<Trainable*> Stage::active_parts() {
  std::vector<Trainable*> parts;
  if (learns()) parts.push_back(body_.get());
  if (tied_body_) parts.push_back(tied_body_.get());
  if (runs_loss()) parts.push_back(head_.get());
  if (tied_head_) parts.push_back(tied_head_.get());
  return parts;
}

std::vector<std::pair<std::string, at::Tensor>> Stage::head_tensors() const {
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  if (parts_.head)
    for (const auto& named : parts_.head->named_parameters()) tensors.emplace_back(named.key(), named.value());
  return tensors;
}

std::vector<std::pair<std::string, at::Tensor>> Stage::readout_copies() {
  return parts_.head ? parts_.head->readout_copies() : std::vector<std::pair<std::string, at::Tensor>>{};
}

const std::vector<Term>& Stage::terms(int stream) const {
  return stream < 0 ? flow_->teach : flow_->outgoing[stream].terms;
}

// ---- Forward

at::Tensor Stage::run(at::Tensor input, const ForwardContext& context, bool graph, std::vector<at::Tensor>& inputs,
                      std::vector<at::Tensor>& outputs) {
  at::Tensor hidden = std::move(input);
  c10::AutoGradMode mode(graph);
  for (int64_t segment = 0; segment < segments(); ++segment) {
    // Each segment has a graph of its own: its input is detached, and asks for a gradient where one is passed on.
    if (segment > 0) hidden = hidden.detach();
    if (graph && (segment > 0 || !flow_->outgoing.empty())) hidden.requires_grad_(true);
    if (graph) inputs.push_back(hidden);
    hidden = parts_.body->forward_segment(segment, hidden, context);
    if (graph) outputs.push_back(hidden);
  }
  return hidden.detach();
}

at::Tensor Stage::forward(int microbatch, at::Tensor input, std::shared_ptr<const Batch> batch,
                          ForwardContext context) {
  Saved now;
  now.microbatch = microbatch;
  now.batch = std::move(batch);
  now.context = context;
  now.context.batch = now.batch.get();
  now.loss_left = flow_->has_loss;
  const int shared_walk = flow_->learns && flow_->joint >= 0 ? 1 : 0;  // B counts as one pass
  now.passes_left = static_cast<int>(flow_->outgoing.size()) + (flow_->learns ? 1 : 0) - shared_walk;
  now.incoming.resize(flow_->incoming.size());
  const bool passes = now.passes_left > 0;
  if (passes && parts_.recompute == Recompute::block) {
    c10::NoGradGuard no_graph;
    for (int64_t segment = 0; segment < segments(); ++segment) {
      now.inputs.push_back(input);
      input = parts_.body->forward_segment(segment, input, now.context);
    }
    now.output = std::move(input);
  } else {
    if (passes && parts_.recompute == Recompute::stage) now.inputs.push_back(input);
    now.output =
        run(std::move(input), now.context, passes && parts_.recompute == Recompute::none, now.inputs, now.outputs);
  }
  at::Tensor output = now.output;
  if (!now.loss_left) now.output = at::Tensor();
  saved_.push_back(std::move(now));
  release_if_done(microbatch);
  return output;
}

LossValue Stage::loss(int microbatch, double targets) {
  Saved& now = saved(microbatch);
  at::Tensor hidden = std::move(now.output).detach();
  hidden.requires_grad_(flow_->own_loss_used);
  LossSum result;
  {
    c10::AutoGradMode graph(true);
    result = parts_.head->loss(hidden, now.context);
  }
  std::vector<at::Tensor> inputs = head_values_;
  if (flow_->own_loss_used) inputs.push_back(hidden);
  // Walked with an incoming gradient of 1 and scaled afterwards: any other value would copy the gradient of all scores,
  // [predicted, vocabulary], where what is scaled is [samples, length, width] and the head's parameters.
  const double scale = targets > 0 ? 1.0 / targets : 0.0;
  std::vector<at::Tensor> gradients = torch::autograd::grad({result.sum}, inputs, {}, std::nullopt, false, true);
  if (flow_->own_loss_used) now.own_gradient = gradients.back().mul_(scale);
  for (size_t i = 0; i < head_slots_.size(); ++i)
    head_slots_[i].part->accumulate(head_slots_[i].index, gradients[i], scale);
  now.loss_left = false;
  const LossValue value{result.sum.item<double>(), result.count};
  release_if_done(microbatch);
  return value;
}

// ---- Passes back

void Stage::deliver(int microbatch, int stream, at::Tensor gradient) {
  saved(microbatch).incoming[stream] = std::move(gradient);
}

at::Tensor Stage::input_gradient(int microbatch, int stream) {
  Saved& now = saved(microbatch);
  at::Tensor result = walk(now, weighted_sum(now, flow_->outgoing[stream].terms), true, 0, {});
  release_if_done(microbatch);
  return result;
}

void Stage::weight_gradient(int microbatch, const SegmentDone& done) {
  Saved& now = saved(microbatch);
  walk(now, weighted_sum(now, flow_->teach), false, 1.0, done);
  release_if_done(microbatch);
}

at::Tensor Stage::backward(int microbatch, int stream, const SegmentDone& done) {
  Saved& now = saved(microbatch);
  at::Tensor result = walk(now, weighted_sum(now, flow_->outgoing[stream].terms), true, flow_->joint_factor, done);
  release_if_done(microbatch);
  return result;
}

// From the last segment to the first. `teach` is the factor at which gradients of parameters are accumulated, 0: none.
at::Tensor Stage::walk(Saved& now, at::Tensor gradient, bool to_input, double teach, const SegmentDone& done) {
  --now.passes_left;
  const bool keep = now.passes_left > 0;
  std::vector<at::Tensor> again_inputs, again_outputs;
  const bool whole_again = parts_.recompute == Recompute::stage;
  if (whole_again) run(now.inputs.front().detach(), now.context, true, again_inputs, again_outputs);
  std::vector<at::Tensor>& inputs = whole_again ? again_inputs : now.inputs;
  std::vector<at::Tensor>& outputs = whole_again ? again_outputs : now.outputs;

  for (int64_t segment = segments() - 1; segment >= 0; --segment) {
    const bool pass_on = segment > 0 || to_input;
    at::Tensor input = inputs[segment], output;
    if (parts_.recompute == Recompute::block) {
      input = input.detach();
      if (pass_on) input.requires_grad_(true);
      c10::AutoGradMode graph(true);
      output = parts_.body->forward_segment(segment, input, now.context);
    } else {
      output = outputs[segment];
    }
    std::vector<at::Tensor> wanted;
    if (pass_on) wanted.push_back(input);
    if (teach != 0) wanted.insert(wanted.end(), segment_values_[segment].begin(), segment_values_[segment].end());
    const bool keep_graph = keep && parts_.recompute == Recompute::none;
    if (!keep_graph && parts_.recompute != Recompute::block) outputs[segment] = at::Tensor();
    std::vector<at::Tensor> found;
    if (!wanted.empty()) found = torch::autograd::grad({output}, wanted, {gradient}, keep_graph, false, true);
    if (!keep || whole_again) inputs[segment] = at::Tensor();
    if (teach != 0) {
      const size_t first = pass_on ? 1 : 0;
      for (size_t i = 0; i < segment_slots_[segment].size(); ++i) {
        const Slot& slot = segment_slots_[segment][i];
        slot.part->accumulate(slot.index, found[first + i], teach);
      }
    }
    gradient = pass_on ? std::move(found.front()) : at::Tensor();
    if (teach != 0 && done) done(segment);
  }
  return gradient;
}

at::Tensor Stage::weighted_sum(const Saved& now, const std::vector<Term>& terms) const {
  at::Tensor sum;
  for (const Term& term : terms) {
    const at::Tensor& part = term.source == Term::own_loss ? now.own_gradient : now.incoming[term.source];
    assert(part.defined());
    if (!sum.defined()) {
      sum = term.weight == 1.0 ? part : part * term.weight;
    } else {
      sum = at::add(sum, part, term.weight);
    }
  }
  return sum;
}

// ---- Evaluation

at::Tensor Stage::evaluate(const at::Tensor& input, const ForwardContext& context) {
  c10::NoGradGuard no_graph;
  return parts_.body->forward(input, context);
}

LossValue Stage::evaluate_loss(const at::Tensor& output, const ForwardContext& context) {
  c10::NoGradGuard no_graph;
  const LossSum result = parts_.head->loss(output, context);
  return {result.sum.item<double>(), result.count};
}

Stage::Saved& Stage::saved(int microbatch) {
  const auto found =
      std::find_if(saved_.begin(), saved_.end(), [&](const Saved& s) { return s.microbatch == microbatch; });
  assert(found != saved_.end());
  return *found;
}

void Stage::release_if_done(int microbatch) {
  const auto found =
      std::find_if(saved_.begin(), saved_.end(), [&](const Saved& s) { return s.microbatch == microbatch; });
  if (found->passes_left == 0 && !found->loss_left) saved_.erase(found);
}

}  // namespace interlock
