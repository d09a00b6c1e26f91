#include "parallel/stage.h"

#include <ATen/ops/add.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cassert>

namespace interlock {

// ---- Trainable

Trainable::Trainable(torch::nn::Module& module, std::unique_ptr<Optimizer> optimizer)
    : optimizer_(std::move(optimizer)) {
  int64_t elements = 0;
  for (const auto& named : module.named_parameters()) elements += named.value().numel();
  const auto first = module.parameters();
  const auto options = first.empty() ? at::TensorOptions() : first.front().options();
  gradient_ = at::zeros({elements}, options.requires_grad(false));
  int64_t begin = 0;
  for (const auto& named : module.named_parameters()) {
    const at::Tensor& value = named.value();
    values_.push_back(value);
    parameters_.push_back({named.key(), value, gradient_.narrow(0, begin, value.numel()).view(value.sizes())});
    begin += value.numel();
  }
  optimizer_->attach(parameters_);
}

void Trainable::accumulate(const std::vector<at::Tensor>& gradients, double factor) {
  assert(gradients.size() == parameters_.size());
  c10::NoGradGuard no_graph;
  for (size_t i = 0; i < gradients.size(); ++i) {
    at::Tensor& sum = parameters_[i].gradient;
    if (!gradients[i].defined()) {
      if (empty_) sum.zero_();
    } else if (empty_) {
      at::mul_out(sum, gradients[i], at::scalar_tensor(factor, sum.options()));
    } else {
      sum.add_(gradients[i], factor);
    }
  }
  empty_ = false;
}

double Trainable::squared_norm() const {
  const double norm = at::linalg_vector_norm(gradient_, 2, std::nullopt, false, at::kDouble).item<double>();
  return norm * norm;
}

void Trainable::scale(double factor) { gradient_.mul_(factor); }

void Trainable::update(double learning_rate) {
  c10::NoGradGuard no_graph;
  optimizer_->step(learning_rate);
  clear();
}

void Trainable::clear() {
  gradient_.zero_();
  empty_ = true;
}

// ---- Stage

Stage::Stage(int index, Parts parts)
    : index_(index), parts_(std::move(parts)), body_(*parts_.body, std::move(parts_.body_optimizer)) {
  if (parts_.head) head_ = std::make_unique<Trainable>(*parts_.head, std::move(parts_.head_optimizer));
}

const std::vector<Term>& Stage::terms(int stream) const {
  return stream < 0 ? flow_->teach : flow_->outgoing[stream].terms;
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
  now.input = std::move(input);
  {
    c10::AutoGradMode graph(now.passes_left > 0);
    if (!flow_->outgoing.empty()) now.input.requires_grad_(true);
    now.output = parts_.body->forward(now.input, now.context);
  }
  at::Tensor output = now.output.detach();
  saved_.push_back(std::move(now));
  release_if_done(microbatch);
  return output;
}

LossValue Stage::loss(int microbatch, double targets) {
  Saved& now = saved(microbatch);
  at::Tensor hidden = now.output.detach();
  hidden.requires_grad_(flow_->own_loss_used);
  LossSum result;
  {
    c10::AutoGradMode graph(true);
    result = parts_.head->loss(hidden, now.context);
  }
  std::vector<at::Tensor> inputs = head_->values();
  if (flow_->own_loss_used) inputs.push_back(hidden);
  // Walked with an incoming gradient of 1 and scaled afterwards: any other value would copy the gradient of all scores,
  // [predicted, vocabulary], where what is scaled is [samples, length, width] and the head's parameters.
  const double scale = targets > 0 ? 1.0 / targets : 0.0;
  std::vector<at::Tensor> gradients = torch::autograd::grad({result.sum}, inputs, {}, std::nullopt, false, true);
  if (flow_->own_loss_used) {
    now.own_gradient = gradients.back().mul_(scale);
    gradients.pop_back();
  }
  head_->accumulate(gradients, scale);
  now.loss_left = false;
  const LossValue value{result.sum.item<double>(), result.count};
  release_if_done(microbatch);
  return value;
}

void Stage::deliver(int microbatch, int stream, at::Tensor gradient) {
  saved(microbatch).incoming[stream] = std::move(gradient);
}

at::Tensor Stage::input_gradient(int microbatch, int stream) {
  Saved& now = saved(microbatch);
  at::Tensor result = walk(now, weighted_sum(now, flow_->outgoing[stream].terms), true, false).front();
  release_if_done(microbatch);
  return result;
}

void Stage::weight_gradient(int microbatch) {
  Saved& now = saved(microbatch);
  body_.accumulate(walk(now, weighted_sum(now, flow_->teach), false, true), 1.0);
  release_if_done(microbatch);
}

at::Tensor Stage::backward(int microbatch, int stream) {
  Saved& now = saved(microbatch);
  std::vector<at::Tensor> gradients = walk(now, weighted_sum(now, flow_->outgoing[stream].terms), true, true);
  at::Tensor result = gradients.front();
  gradients.erase(gradients.begin());
  body_.accumulate(gradients, flow_->joint_factor);
  release_if_done(microbatch);
  return result;
}

std::vector<at::Tensor> Stage::walk(Saved& now, const at::Tensor& gradient, bool to_input, bool to_parameters) {
  std::vector<at::Tensor> inputs;
  if (to_input) inputs.push_back(now.input);
  if (to_parameters) inputs.insert(inputs.end(), body_.values().begin(), body_.values().end());
  --now.passes_left;
  return torch::autograd::grad({now.output}, inputs, {gradient}, now.passes_left > 0, false, true);
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
