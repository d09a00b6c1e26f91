// How a step ends: gradients of replicas are summed, norms taken, clipped, and parameters updated.

#include <algorithm>
#include <cmath>

#include "parallel/engine_step.h"
#include "parallel/stage.h"

namespace interlock {
namespace {

template <class T>
std::span<T> span_of(at::Tensor& tensor) {
  return {tensor.data_ptr<T>(), static_cast<size_t>(tensor.numel())};
}

}  // namespace

void Engine::reduce_gradient(Step& step, Stage& here) {
  const double begin = TraceRecorder::now();
  std::vector<Trainable*> parts;
  if (here.learns()) parts.push_back(&here.body());
  if (here.runs_loss()) parts.push_back(here.head());
  for (Trainable* part : parts) {
    at::Tensor& gradient = part->gradient();
    if (gradient.scalar_type() == at::kDouble) {
      same_stages_.all_reduce(span_of<double>(gradient));
    } else {
      same_stages_.all_reduce(span_of<float>(gradient));
    }
  }
  const double end = TraceRecorder::now();
  step.waited += end - begin;
  if (trace_.wants(step.options.step))
    trace_.record({TraceTrack::waiting, begin, end, current_, step.options.step, 0, 0});
}

void Engine::reduce_norm(Step& step) {
  const double begin = TraceRecorder::now();
  std::vector<double> mine(step.plan.shape.stages, 0.0);
  for (auto& here : parts_.stages) {
    double& sum = mine[here->index()];
    if (here->learns()) sum += here->body().squared_norm();
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
  const double end = TraceRecorder::now();
  step.waited += end - computed;
  if (trace_.wants(step.options.step)) {
    trace_.record({TraceTrack::compute, begin, computed, "norm", step.options.step, 0, 0});
    trace_.record({TraceTrack::waiting, computed, end, current_, step.options.step, 0, 0});
  }
}

void Engine::update(Step& step, Stage& here) {
  StageReport& report = step.reports[here.index()];
  report.stage = here.index();
  if (here.learns()) report.body_norm_squared = here.body().squared_norm();
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
  if (here.learns()) {
    clip(here.body(), body_scope);
    here.body().update(step.options.learning_rate);
  }
  if (here.runs_loss()) {
    clip(*here.head(), here.head_is_readout() ? body_scope : report.head_norm_squared);
    here.head()->update(step.options.learning_rate);
  }
}

}  // namespace interlock
