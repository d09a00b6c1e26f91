// How a step ends: gradients of replicas are summed, norms taken, clipped, and parameters updated.

#include <algorithm>
#include <cmath>
#include <span>

#include "parallel/engine_step.h"
#include "parallel/stage.h"

namespace interlock {
namespace {

// The numbers of a tensor as `act` takes them: a span, and who keeps it alive.
template <class Act>
auto with_numbers(const at::Tensor& tensor, Act act) {
  const auto owner = std::make_shared<at::Tensor>(tensor);
  const auto count = static_cast<size_t>(tensor.numel());
  if (tensor.scalar_type() == at::kDouble) return act(std::span(tensor.data_ptr<double>(), count), owner);
  return act(std::span(tensor.data_ptr<float>(), count), owner);
}

}  // namespace

void Engine::note_waiting(Step& step, double begin) {
  const double end = TraceRecorder::now();
  step.waited += end - begin;
  if (trace_.wants(step.options.step))
    trace_.record({TraceTrack::waiting, begin, end, current_, step.options.step, 0, 0});
}

// ---- Sums over replicas

void Engine::begin_reduction(Step& step, at::Tensor values) {
  if (parts_.topology.shape.replicas == 1 || values.numel() == 0) return;
  step.reductions.push_back(with_numbers(
      values, [&](auto numbers, const auto& owner) { return same_stages_.begin_all_reduce(numbers, owner); }));
}

// Segments come from the last to the first; what has gathered is begun once it fills a bucket.
void Engine::reduce_body(Step& step, Stage& here, int64_t segment) {
  at::Tensor& gradient = here.body().gradient();
  const int64_t begin = here.segment_offset(segment);
  const auto [begun, fresh] = step.begun.try_emplace(here.index(), gradient.numel());
  const int64_t bytes = (begun->second - begin) * static_cast<int64_t>(gradient.element_size());
  if (bytes < parts_.bucket_bytes && segment > 0) return;
  begin_reduction(step, gradient.narrow(0, begin, begun->second - begin));
  begun->second = begin;
  advance_reductions(step);
}

// What is done goes, and with it what it holds.
void Engine::advance_reductions(Step& step) {
  std::erase_if(step.reductions, [](const auto& reduction) { return reduction->advance(); });
}

void Engine::reduce_gradient(Step& step, Stage& here) {
  const double begin = TraceRecorder::now();
  // Tied tensors learn on both ends of the model whatever the rule, a body that nobody teaches in no walk.
  if (Trainable* tied = here.tied_body()) begin_reduction(step, tied->gradient());
  if (Trainable* tied = here.tied_head()) begin_reduction(step, tied->gradient());
  while (!step.reductions.empty()) {
    step.reductions.front()->finish();
    step.reductions.pop_front();
  }
  note_waiting(step, begin);
}

// ---- The tensor that both ends share

void Engine::reduce_tied(Step& step) {
  const double begin = TraceRecorder::now();
  const int last = step.plan.shape.stages - 1;
  Trainable* body = parts_.topology.holds(0) ? stage(0).tied_body() : nullptr;
  Trainable* head = parts_.topology.holds(last) ? stage(last).tied_head() : nullptr;
  if (body != nullptr && head != nullptr) {
    body->gradient().add_(head->gradient());
    head->gradient().copy_(body->gradient());
  } else {
    // Group order is first stage, last stage: the same sum to the bit.
    at::Tensor& mine = (body != nullptr ? body : head)->gradient();
    with_numbers(mine, [&](auto numbers, const auto& owner) { ends_->all_reduce(numbers, owner); });
  }
  note_waiting(step, begin);
}

// ---- Norms and updates

void Engine::reduce_norm(Step& step) {
  const double begin = TraceRecorder::now();
  std::vector<double> mine(step.plan.shape.stages, 0.0);
  for (auto& here : parts_.stages) {
    double& sum = mine[here->index()];
    if (here->learns()) sum += here->body().squared_norm();
    if (here->tied_body()) sum += here->tied_body()->squared_norm();  // counted where the model begins, and only there
    if (here->runs_loss() && here->head_is_readout()) sum += here->head()->squared_norm();
  }
  const double computed = TraceRecorder::now();
  const std::vector<double> all = pipeline_.all_gather(std::span<const double>(mine));
  // Every stage stands on one rank, the others have zero for it: adding in stage order gives the same bits for any
  // placement.
  double total = 0;
  for (int index = 0; index < step.plan.shape.stages; ++index)
    total += all[static_cast<size_t>(step.plan.shape.rank_of(index)) * mine.size() + index];
  step.norm_squared_of_model = total;
  if (trace_.wants(step.options.step))
    trace_.record({TraceTrack::compute, begin, computed, "norm", step.options.step, 0, 0});
  note_waiting(step, computed);
}

void Engine::update(Step& step, Stage& here) {
  StageReport& report = step.reports[here.index()];
  report.stage = here.index();
  if (here.learns()) report.body_norm_squared = here.body().squared_norm();
  if (here.tied_body()) report.body_norm_squared += here.tied_body()->squared_norm();
  if (here.runs_loss()) report.head_norm_squared = here.head()->squared_norm();
  const double together = report.body_norm_squared + (here.head_is_readout() ? report.head_norm_squared : 0.0);
  if (!std::isfinite(together) || !std::isfinite(report.head_norm_squared))
    throw Error(ExitCode::gave_up,
                message("the gradient of stage ", here.index(), " is not finite at step ", step.options.step,
                        "; weights of an earlier evaluation, if there was one, are kept. A lower "
                        "optimizer.learning_rate may help"));
  const auto clip = [&](Trainable& part, double norm_squared) {
    const double norm = std::sqrt(norm_squared);
    if (step.options.clip > 0 && norm > step.options.clip) part.scale(step.options.clip / (norm + 1e-6));
  };
  const double body_scope = step.plan.norm_over_model ? step.norm_squared_of_model : together;
  const auto learn = [&](Trainable& part, double norm_squared) {
    clip(part, norm_squared);
    part.update(step.options.learning_rate);
    if (part.is_shared()) part.exchange_values(same_stages_);
  };
  for (Trainable* part : here.active_parts()) {
    const bool private_head = part == here.head() && !here.head_is_readout();
    learn(*part, private_head ? report.head_norm_squared : body_scope);
  }
}

}  // namespace interlock
