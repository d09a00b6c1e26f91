// How a step ends: norms are taken, gradients clipped, and parameters updated.

#include <ATen/ops/ones_like.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "parallel/engine/numbers.h"
#include "parallel/engine/step.h"
#include "parallel/stage/stage.h"
#include "runtime/device/staging.h"

namespace interlock {
namespace {

at::Tensor number(double value) { return at::scalar_tensor(value, at::TensorOptions().dtype(at::kDouble)); }

// What gradients are multiplied by so that their norm is at most `clip` (0: any).
at::Tensor clip_factor(double clip, const at::Tensor& norm_squared) {
  const at::Tensor one = at::ones_like(norm_squared);
  if (clip <= 0) return one;
  const at::Tensor norm = norm_squared.sqrt();
  return at::where(norm > clip, clip / (norm + 1e-6), one);
}

// "RANK REASON" of the first rank that has one, "" where none has. A loss says more than the gradients that came of it.
std::string first_of(const std::vector<std::string>& reasons) {
  for (const char* beginning : {"the loss", ""})
    for (size_t rank = 0; rank < reasons.size(); ++rank)
      if (!reasons[rank].empty() && reasons[rank].starts_with(beginning)) return message(rank, " ", reasons[rank]);
  return "";
}

}  // namespace

void Engine::note_waiting(Step& step, double begin) {
  const double end = TraceRecorder::now();
  step.waited += end - begin;
  if (trace_.wants(step.options.step))
    trace_.record({TraceTrack::waiting, begin, end, current_, step.options.step, 0, 0});
}

// ---- The tensor that both ends share

void Engine::reduce_tied(Step& step) {
  const double begin = TraceRecorder::now();
  std::vector<TrainableGroup*> members;  // on this rank, in stage order
  for (const auto& here : context_.stages)
    for (TrainableGroup* group : here->active_groups())
      if (group->options().shared) members.push_back(group);
  for (TrainableGroup* member : members) member->complete();
  // Only what this replica updates has been summed over replicas; members are cut alike, since they hold one tensor.
  const auto owned = [](TrainableGroup& group) {
    const auto [first, last] = group.owned_by(group.options().share.position);
    return group.gradient().narrow(0, first, last - first);
  };
  const at::Tensor sum = owned(*members.front());
  for (size_t i = 1; i < members.size(); ++i) sum.add_(owned(*members[i]));
  // Group order is first stage, last stage: the same sum to the bit.
  if (context_.end_values && sum.numel() > 0) {
    const PulseWait waiting(pulse(), waits_for_several);
    sum_over(*context_.end_values, in_place(), sum);
  }
  for (size_t i = 1; i < members.size(); ++i) owned(*members[i]).copy_(sum);
  note_waiting(step, begin);
}

// ---- Norms and updates

const at::Tensor& Engine::squared_norm(Step& step, TrainableGroup& group) {
  at::Tensor& norm = step.norms[&group];
  if (norm.defined()) return norm;
  group.complete();
  at::Tensor& parts = group.measure_norm();
  // Every part is zero on all replicas but the one that owns it: a sum only brings them together.
  if (group.is_sharded()) {
    const double begin = TraceRecorder::now();
    const PulseWait waiting(pulse(), waits_for_several);
    sum_over(context_.replica_values(), in_place(), parts);
    note_waiting(step, begin);
  }
  norm = group.squared_norm();
  return norm;
}

// Of the stages of this rank, one number for each stage of the model and 0 for the others.
at::Tensor Engine::norm_over_stages(Step& step) {
  // Made there: a copy from the host would wait for the passes back.
  const at::Tensor zero = at::zeros({}, at::TensorOptions(context_.device.at).dtype(at::kDouble));
  std::vector<at::Tensor> mine(step.plan.shape.stages, zero);
  for (auto& here : context_.stages)
    for (TrainableGroup* group : here->active_groups())
      if (group->options().role != TrainableGroup::Role::local_head && group->options().primary)
        mine[here->index()] = mine[here->index()] + squared_norm(step, *group);
  return at::stack(mine);
}

// Only where other ranks have a part in it does the host look at the norm.
void Engine::reduce_norm(Step& step) {
  const double begin = TraceRecorder::now(), waited = step.waited;
  at::Tensor all = norm_over_stages(step);
  const double computed = TraceRecorder::now(), computed_late = step.waited - waited;
  if (context_.pipeline.size() > 1) {
    const at::Tensor mine = on_host(all);
    const PulseWait waiting(pulse(), waits_for_several);
    const std::vector<double> gathered =
        context_.pipeline.all_gather(std::span(mine.const_data_ptr<double>(), static_cast<size_t>(mine.numel())));
    // Every stage stands on one rank.
    for (int index = 0; index < step.plan.shape.stages; ++index)
      mine.mutable_data_ptr<double>()[index] =
          gathered[static_cast<size_t>(step.plan.shape.rank_of(index) * step.plan.shape.stages + index)];
    all = on_device(mine, context_.device.at);
  }
  // Adding in stage order gives the same bits for any placement.
  at::Tensor total = all[0];
  for (int64_t index = 1; index < all.size(0); ++index) total = total + all[index];
  step.norm_squared_of_model = total;
  if (trace_.wants(step.options.step))
    trace_.record({TraceTrack::compute, begin + computed_late, computed, "norm", step.options.step, 0, 0});
  note_waiting(step, computed);
}

void Engine::measure(Step& step, Stage& here) {
  using Role = TrainableGroup::Role;
  Step::StageNumbers& numbers = step.numbers[here.index()];
  at::Tensor body = number(0.0), head = number(0.0);
  for (TrainableGroup* group : here.active_groups()) {
    if (!group->options().primary) continue;
    at::Tensor& sum = group->options().role == Role::body ? body : head;
    sum = sum + squared_norm(step, *group);
  }
  numbers.body_norm_squared = body;
  numbers.head_norm_squared = head;
  if (context_.device.immediate && !step.options.agreed)
    check_norm(step.options.step, here.index(), (body + head).item<double>());
}

// After measure().
void Engine::update(Step& step, Stage& here) {
  using Role = TrainableGroup::Role;
  const auto& [losses, count, body, head] = step.numbers[here.index()];
  const at::Tensor together = here.head_is_readout() ? body + head : body;
  const at::Tensor of_model = step.plan.norm_over_model ? step.norm_squared_of_model : together;
  const at::Tensor rate = number(step.options.learning_rate);
  for (TrainableGroup* group : here.active_groups()) {
    const bool alone = group->options().role == Role::local_head;
    group->update({rate, clip_factor(step.options.clip, alone ? head : of_model)});
    begin_gather(here, *group);
  }
}

// ---- Updates that all ranks make, or none

// What of this rank's part of the step is not finite; "": nothing. On a device this is where the host waits for it.
std::string Engine::divergence_of(const Step& step) const {
  std::vector<at::Tensor> numbers;
  for (const auto& [index, of_stage] : step.numbers) {
    numbers.insert(numbers.end(), of_stage.losses.begin(), of_stage.losses.end());
    for (const at::Tensor& norm : {of_stage.body_norm_squared, of_stage.head_norm_squared})
      if (norm.defined()) numbers.push_back(norm);
  }
  if (numbers.empty()) return "";
  for (at::Tensor& number : numbers) number = number.to(context_.device.at, at::kDouble).reshape({});
  const at::Tensor all = on_host(at::stack(numbers));
  context_.transport.check();  // before anybody believes them
  const double* next = all.const_data_ptr<double>();
  for (const auto& [index, of_stage] : step.numbers) {
    for (size_t microbatch = 0; microbatch < of_stage.losses.size(); ++microbatch, ++next)
      if (!std::isfinite(*next)) return bad_loss(step.options.step, index, static_cast<int64_t>(microbatch), *next);
    for (const at::Tensor& norm : {of_stage.body_norm_squared, of_stage.head_norm_squared})
      if (norm.defined() && !std::isfinite(*next++)) return bad_norm(step.options.step, index);
  }
  return "";
}

void Engine::update_together(Step& step) {
  const double begin = TraceRecorder::now();
  current_ = "AGREE";
  pulse().act(current_, begin);
  const std::string mine = divergence_of(step);
  const std::string first = [&] {
    const PulseWait waiting(pulse(), context_.world.position() == 0 ? waits_for_several : 0);
    return context_.world.broadcast(first_of(context_.world.gather(mine, 0)), 0);
  }();
  note_waiting(step, begin);
  if (!first.empty()) {
    const size_t rank_end = first.find(' ');
    divergence_ = {step.options.step, std::stoi(first.substr(0, rank_end)), first.substr(rank_end + 1)};
    for (auto& here : context_.stages) {
      here->restore_buffers();
      for (TrainableGroup* group : here->active_groups()) group->forget_gradient();
    }
    return;
  }
  step.may_update = true;
  for (const Action& action : step.updates) perform(step, action);
}

}  // namespace interlock
