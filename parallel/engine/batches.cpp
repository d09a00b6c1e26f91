// What a step works on: batches, and how many targets it predicts.

#include <ATen/ops/arange.h>
#include <ATen/ops/nonzero.h>
#include <ATen/ops/tensor.h>

#include <algorithm>

#include "parallel/engine/step.h"
#include "runtime/device/staging.h"

namespace interlock {
namespace {

// Scores are all predicted.
at::Tensor predicted_rows(const at::Tensor& targets) {
  if (at::isFloatingType(targets.scalar_type())) return at::arange(targets.numel(), at::kLong);
  return targets.reshape({-1}).ne(ignored_target).nonzero().squeeze(1);
}

}  // namespace

// Only ranks with a loss need the count, and each counts its replica's share.
void Engine::begin_count(Step& step) {
  if (std::ranges::none_of(context_.stages, [](const auto& here) { return here->runs_loss(); })) return;
  const double begin = TraceRecorder::now();
  const int replica = context_.topology.replica();
  step.targets =
      std::make_shared<double>(static_cast<double>(settings_.loader->training_targets(step.options.step, replica)));
  step.loading += TraceRecorder::now() - begin;
  if (context_.replicas.size() > 1)
    step.counting = context_.replicas.begin_all_reduce(std::span(step.targets.get(), 1), step.targets);
}

double Engine::targets(Step& step) {
  if (step.counting) {
    const double begin = TraceRecorder::now();
    const PulseWait waiting(pulse(), waits_for_several);
    step.counting->finish();
    step.counting.reset();
    note_waiting(step, begin);
  }
  return *step.targets;
}

Batch Engine::held_out(const Step& step, int microbatch) const {
  const Topology& topology = context_.topology;
  const BatchParts parts{
      .inputs = topology.holds(0),
      .targets = std::ranges::any_of(context_.stages, [&](const auto& here) { return scores_held_out(*here, step); })};
  return settings_.loader->held_out(step.evaluation->limit, step.evaluation->indices[microbatch], parts);
}

// Of every tensor that passes between stages for this microbatch.
int64_t Engine::width(const Step& step, int microbatch) const {
  const Loader& loader = *settings_.loader;
  if (step.evaluation) return loader.held_out_width(step.evaluation->limit, step.evaluation->indices[microbatch]);
  return loader.width(step.options.step, context_.topology.replica(), microbatch);
}

// What a device would have to be asked for is found out here, where the numbers still lie.
Batch Engine::to_device(Batch made) const {
  const at::Device device = context_.device.at;
  if (made.targets.defined()) made.predicted_rows = on_device(predicted_rows(made.targets), device);
  made.sample_numbers = on_device(at::tensor(made.sample_ids, at::TensorOptions().dtype(at::kLong)), device);
  for (at::Tensor* part : {&made.inputs, &made.targets, &made.lengths, &made.positions})
    *part = on_device(*part, device);
  return made;
}

std::shared_ptr<const Batch> Engine::batch(Step& step, int microbatch) {
  auto found = step.batches.find(microbatch);
  if (found == step.batches.end()) {
    const double begin = TraceRecorder::now();
    Batch made = step.evaluation ? held_out(step, microbatch) : settings_.batches->take(step.options.step, microbatch);
    step.loading += TraceRecorder::now() - begin;
    if (!context_.device.immediate) made = to_device(std::move(made));
    const int uses = static_cast<int>(context_.stages.size());
    found = step.batches.emplace(microbatch, std::pair(std::make_shared<const Batch>(std::move(made)), uses)).first;
  }
  std::shared_ptr<const Batch> result = found->second.first;
  if (--found->second.second == 0) step.batches.erase(found);
  return result;
}

}  // namespace interlock
