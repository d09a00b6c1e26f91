// What a stage is made of, its forward pass, its loss, and evaluation. (passes_back.cpp: the passes back.)
#include "parallel/stage/stage.h"

#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <optional>

#include "runtime/core/error.h"

namespace interlock {

using NamedTensors = std::vector<TrainableGroup::NamedTensor>;
using Role = TrainableGroup::Role;

namespace {

// The parameters of a module that train, but for the shared one.
NamedTensors trained_tensors(const torch::nn::Module& module, const std::string& shared,
                             const std::function<double(const std::string&)>& rate_factor) {
  NamedTensors tensors;
  for (const auto& named : module.named_parameters())
    if (named.key() != shared && named.value().requires_grad())
      tensors.push_back({named.key(), named.value(), rate_factor ? rate_factor(named.key()) : 1.0});
  return tensors;
}

std::vector<at::Tensor> trained_only(std::vector<at::Tensor> tensors) {
  std::erase_if(tensors, [](const at::Tensor& tensor) { return !tensor.requires_grad(); });
  return tensors;
}

}  // namespace

Stage::Stage(int index, Parts parts) : index_(index), parts_(std::move(parts)), sink_(store_) {
  store_.add(*parts_.body);
  if (parts_.head) store_.add(*parts_.head);
  group_parameters();
  find_segments();
  if (parts_.head) head_values_ = trained_only(parts_.head->parameters());
}

TrainableGroup& Stage::add_group(const NamedTensors& tensors, TrainableGroup::Options options) {
  options.share = parts_.share;
  groups_.push_back(std::make_unique<TrainableGroup>(tensors, parts_.make_optimizer, options));
  std::vector<at::Tensor> values;
  for (const TrainableGroup::NamedTensor& tensor : tensors) values.push_back(tensor.value);
  sink_.add(*groups_.back(), values);
  return *groups_.back();
}

// In the order in which norms are added up and parts are updated: the body, the shared tensor below it, the head, the
// shared tensor in it.
void Stage::group_parameters() {
  const Tie tie = parts_.tie.value_or(Tie{});
  const auto shared_of = [](const torch::nn::Module& module, const std::string& name) -> std::optional<at::Tensor> {
    const auto named = module.named_parameters();
    const at::Tensor* found = named.find(name);
    return found != nullptr && found->requires_grad() ? std::optional(*found) : std::nullopt;
  };
  if (const NamedTensors own = trained_tensors(*parts_.body, tie.body, parts_.rate_factor); !own.empty())
    body_group_ = &add_group(own, {.role = Role::body});
  if (const auto table = shared_of(*parts_.body, tie.body))
    add_group({{tie.body, *table, parts_.rate_factor ? parts_.rate_factor(tie.body) : 1.0}},
              {.role = Role::body, .shared = true});
  if (!parts_.head) return;
  const Role role = parts_.head_is_readout ? Role::readout : Role::local_head;
  if (const NamedTensors own = trained_tensors(*parts_.head, tie.readout, parts_.rate_factor); !own.empty())
    add_group(own, {.role = role});
  if (!parts_.head->named_parameters().contains(tie.readout)) return;
  store_.entry(tie.readout).stored = false;
  // Under the name of the first: the optimizer's state and messages about it are those of one tensor.
  if (const auto decoder = shared_of(*parts_.head, tie.readout))
    add_group({{tie.body, *decoder, parts_.rate_factor ? parts_.rate_factor(tie.body) : 1.0}},
              {.role = role, .shared = true, .primary = false});
}

// Parameters of the body's group follow each other segment by segment.
void Stage::find_segments() {
  lowest_trained_ = segments();
  size_t next = 0;
  for (int64_t segment = 0; segment < segments(); ++segment) {
    segment_values_.push_back(trained_only(parts_.body->segment_parameters(segment)));
    if (!segment_values_.back().empty()) lowest_trained_ = std::min(lowest_trained_, segment);
    segment_first_.push_back(next);
    segment_offsets_.push_back(body_group_ != nullptr ? body_group_->offset(next) : 0);
    for (const at::Tensor& value : segment_values_.back()) {
      const bool own = body_group_ != nullptr && next < body_group_->parameters().size() &&
                       body_group_->parameters()[next].value.is_same(value);
      const ParameterStore::Entry* entry = store_.find(value);
      if (entry == nullptr)
        throw Error(ExitCode::gave_up, message("segment ", segment, " of stage ", index_, " has a parameter of ",
                                               value.numel(), " numbers that its module does not name"));
      if (!own && parts_.tie.value_or(Tie{}).body != entry->name)
        throw Error(ExitCode::gave_up, message(entry->name, " of stage ", index_,
                                               " does not stand where its segment does: a mistake of the model"));
      next += own ? 1 : 0;
    }
  }
  segment_first_.push_back(next);
  segment_offsets_.push_back(body_group_ != nullptr ? body_group_->offset(next) : 0);
}

std::vector<TrainableGroup*> Stage::active_groups() const {
  std::vector<TrainableGroup*> active;
  for (const auto& group : groups_) {
    const bool in_use = group->options().role == Role::body ? flow_->learns : flow_->has_loss;
    if (group->options().shared || in_use) active.push_back(group.get());
  }
  return active;
}

void Stage::refresh(TrainableGroup& group, TrainableGroup::Range range) {
  std::vector<at::Tensor> written;
  for (size_t i = 0; i < group.parameters().size(); ++i)
    if (group.offset(i) < range.second && group.offset(i + 1) > range.first)
      written.push_back(group.parameters()[i].value);
  store_.refresh(written);
}

void Stage::keep_buffers() {
  kept_buffers_.clear();
  for (const ParameterStore::Entry& entry : store_.entries())
    if (entry.kind == ParameterStore::Kind::buffer) kept_buffers_.emplace_back(entry.value, entry.value.clone());
}

void Stage::restore_buffers() {
  c10::NoGradGuard no_graph;
  for (auto& [buffer, value] : kept_buffers_) buffer.copy_(value);
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

void Stage::need(int64_t segment) const {
  if (needed_) needed_(segment);
}

// ---- Forward

// The segment that the farthest pass ends in: nothing below one that trains gets a gradient, unless a stream goes on.
int64_t Stage::first_segment() const { return flow_->outgoing.empty() ? lowest_trained_ : 0; }

bool Stage::runs(int64_t segment, const ForwardContext& context) const {
  if (parts_.layers.empty() || !context.training) return true;
  const int64_t layer = parts_.layers[segment];
  return layer < 0 || parts_.runs(layer, context);
}

std::vector<int64_t> Stage::left_out(const ForwardContext& context) const {
  std::vector<int64_t> layers;
  for (size_t segment = 0; segment < parts_.layers.size(); ++segment) {
    const int64_t layer = parts_.layers[segment];
    const bool named = !layers.empty() && layers.back() == layer;
    if (!named && !runs(static_cast<int64_t>(segment), context)) layers.push_back(layer);
  }
  return layers;
}

// Runs the segments from `input`; with `graph` what a pass back needs of them is put into inputs and outputs. What is
// left out hands on what it was given, the very tensor: nothing is computed and nothing kept. `features`, where
// somebody wants them: what the first unit takes in.
at::Tensor Stage::run(at::Tensor input, const ForwardContext& context, bool graph, std::vector<at::Tensor>& inputs,
                      std::vector<at::Tensor>& outputs, at::Tensor* features) {
  at::Tensor hidden = std::move(input);
  for (int64_t segment = 0; segment < segments(); ++segment) {
    if (features != nullptr && segment == parts_.body->segments_before_units()) *features = hidden.detach();
    if (!runs(segment, context)) {
      if (graph) inputs.emplace_back(), outputs.emplace_back();
      continue;
    }
    need(segment);
    const bool kept = graph && segment >= first_segment();
    c10::AutoGradMode mode(kept);
    // Each segment has a graph of its own: its input is detached, and asks for a gradient where one is passed on.
    if (segment > 0) hidden = hidden.detach();
    if (kept && (segment > first_segment() || !flow_->outgoing.empty())) hidden.requires_grad_(true);
    if (graph) inputs.push_back(kept ? hidden : at::Tensor());
    hidden = parts_.body->forward_segment(segment, hidden, context);
    if (graph) outputs.push_back(kept ? hidden : at::Tensor());
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
  now.context.parameters = &sink_;
  now.loss_left = flow_->has_loss;
  now.streams_left = static_cast<int>(flow_->outgoing.size());
  now.teach_left = learns();
  now.incoming.resize(flow_->incoming.size());
  const bool passes = now.needs_graph();
  at::Tensor* features = now.loss_left && parts_.head->reads_features() ? &now.context.features : nullptr;
  if (passes && parts_.recompute == Recompute::block) {
    c10::NoGradGuard no_graph;
    for (int64_t segment = 0; segment < segments(); ++segment) {
      if (features != nullptr && segment == parts_.body->segments_before_units()) *features = input.detach();
      const bool here = runs(segment, now.context);
      now.inputs.push_back(here && segment >= first_segment() ? input : at::Tensor());
      if (!here) continue;
      need(segment);
      input = parts_.body->forward_segment(segment, input, now.context);
    }
    now.output = std::move(input);
  } else {
    if (passes && parts_.recompute == Recompute::stage) now.inputs.push_back(input);
    now.output = run(std::move(input), now.context, passes && parts_.recompute == Recompute::none, now.inputs,
                     now.outputs, features);
  }
  at::Tensor output = now.output;
  if (!now.loss_left) now.output = at::Tensor();
  saved_.push_back(std::move(now));
  release_if_done(microbatch);
  return output;
}

namespace {

// In place where nobody else looks at the values: autograd may give one tensor for two inputs, or a view that repeats
// one value (of a sum), which cannot be written to. A copy is scaled in place too: mul_ rounds a number to the type of
// a tensor in bfloat16 before it multiplies, and mul does not, so that the bits would depend on who else looks.
at::Tensor scaled(at::Tensor gradient, double scale) {
  const bool is_ours = gradient.use_count() == 1 && gradient.storage().use_count() == 1;
  return (is_ours && gradient.is_non_overlapping_and_dense() ? gradient : gradient.clone()).mul_(scale);
}

}  // namespace

LossSum Stage::loss(int microbatch, double targets) {
  need(-1);
  Saved& now = saved(microbatch);
  at::Tensor hidden = std::move(now.output).detach();
  hidden.requires_grad_(flow_->own_loss_used);
  LossSum result;
  {
    c10::AutoGradMode graph(true);
    result = parts_.head->loss(hidden, now.context);
  }
  // Differentiated with an incoming gradient of 1 and scaled afterwards: any other value would copy the gradient of all
  // scores, [predicted, vocabulary], where what is scaled is [samples, length, width] and the head's parameters.
  const double scale = targets > 0 ? 1.0 / targets : 0.0;
  std::vector<at::Tensor> wanted = head_values_;
  if (flow_->own_loss_used) wanted.push_back(hidden);
  if (!wanted.empty()) {
    sink_.add_at(scale);
    std::vector<at::Tensor> found = torch::autograd::grad({result.sum}, wanted, {}, std::nullopt, false, true);
    for (size_t i = 0; i < head_values_.size(); ++i)
      if (found[i].defined()) sink_.add_gradient(head_values_[i], term_of(found[i]));
    if (flow_->own_loss_used) now.own_gradient = scaled(std::move(found.back()), scale);
  }
  now.loss_left = false;
  now.context.features = at::Tensor();
  result.sum = result.sum.detach();
  release_if_done(microbatch);
  return result;
}

// ---- Evaluation

at::Tensor Stage::evaluate(const at::Tensor& input, ForwardContext context) {
  context.parameters = &sink_;
  return evaluate(input, context, nullptr);
}

at::Tensor Stage::evaluate(const at::Tensor& input, const ForwardContext& context, at::Tensor* features) {
  c10::NoGradGuard no_graph;
  at::Tensor hidden = input;
  for (int64_t segment = 0; segment < segments(); ++segment) {
    if (features != nullptr && segment == parts_.body->segments_before_units()) *features = hidden;
    need(segment);
    hidden = parts_.body->forward_segment(segment, hidden, context);
  }
  return hidden;
}

std::pair<at::Tensor, LossSum> Stage::evaluate_with_loss(const at::Tensor& input, ForwardContext context) {
  c10::NoGradGuard no_graph;
  context.parameters = &sink_;
  at::Tensor features;
  at::Tensor output = evaluate(input, context, parts_.head->reads_features() ? &features : nullptr);
  context.features = features;
  need(-1);
  LossSum loss = parts_.head->loss(output, context);
  return {std::move(output), std::move(loss)};
}

// ---- Microbatches in flight

Stage::Saved& Stage::saved(int microbatch) {
  const auto found =
      std::find_if(saved_.begin(), saved_.end(), [&](const Saved& s) { return s.microbatch == microbatch; });
  if (found == saved_.end())
    throw Error(ExitCode::gave_up, message("stage ", index_, " was asked for microbatch ", microbatch,
                                           ", of which nothing is kept: a mistake of the plan"));
  return *found;
}

void Stage::release_if_done(int microbatch) {
  const auto found =
      std::find_if(saved_.begin(), saved_.end(), [&](const Saved& s) { return s.microbatch == microbatch; });
  if (found->streams_left == 0 && !found->teach_left && !found->loss_left) saved_.erase(found);
}

}  // namespace interlock
