// What a step tells: its numbers are gathered on the device, copied once, and read when they are there. On the CPU that
// is at once, on a device one step behind, so that the host never waits for the step that it has just asked for.

#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "parallel/engine/step.h"
#include "runtime/device/staging.h"

namespace interlock {

std::string Engine::bad_loss(int64_t step, int stage, int64_t microbatch, double loss) const {
  return message("the loss of stage ", stage, " is ", loss, " at step ", step, ", microbatch ", microbatch,
                 " of replica ", context_.topology.replica());
}

std::string Engine::bad_norm(int64_t step, int stage) const {
  return message("the gradient of stage ", stage, " is not finite at step ", step);
}

void Engine::check_loss(int64_t step, int stage, int64_t microbatch, double loss) const {
  if (std::isfinite(loss)) return;
  throw Error(ExitCode::gave_up,
              message(bad_loss(step, stage, microbatch, loss), "; ", what_stands,
                      ". A lower optimizer.learning_rate, a longer optimizer.warmup_steps or optimizer.clip may help"));
}

void Engine::check_norm(int64_t step, int stage, double norm_squared) const {
  if (std::isfinite(norm_squared)) return;
  throw Error(ExitCode::gave_up,
              message(bad_norm(step, stage), "; ", what_stands, ". A lower optimizer.learning_rate may help"));
}

void Engine::begin_report(Step& step) {
  auto pending = std::make_unique<Pending>();
  pending->report.step = step.options.step;
  pending->report.waited = step.waited;
  pending->report.loading = step.loading;
  pending->report.left_out = divergence_.has_value();
  pending->first = steps_ == 1;
  std::vector<at::Tensor> numbers;
  const auto there = at::TensorOptions(context_.device.at).dtype(at::kDouble);
  const auto add = [&](const at::Tensor& number) {
    if (!number.defined()) {
      numbers.push_back(at::zeros({}, there));
    } else if (number.is_cpu() && !context_.device.is_cpu()) {
      // Filled in there: a copy from the host would wait for all that the device was asked before.
      numbers.push_back(at::full({}, number.item<double>(), there));
    } else {
      numbers.push_back(number.to(context_.device.at, at::kDouble));
    }
  };
  for (const auto& [index, of_stage] : step.numbers) {
    StageReport stage;
    stage.stage = index;
    stage.loss.count = of_stage.count;
    pending->report.stages.push_back(stage);
    pending->losses.push_back(of_stage.losses.size());
    for (const at::Tensor& loss : of_stage.losses) add(loss);
    add(of_stage.body_norm_squared);
    add(of_stage.head_norm_squared);
  }
  pending->has_model_norm = step.norm_squared_of_model.defined();
  if (pending->has_model_norm) add(step.norm_squared_of_model);
  pending->timed = std::move(step.timed);
  pending->end = stopwatch_.now();
  if (!numbers.empty()) {
    const at::Tensor together = at::stack(numbers);
    pending->numbers = together;
    if (!together.is_cpu()) {
      pending->numbers = host_memory(together.sizes(), at::kDouble, together.device());
      copy_later(pending->numbers, together);
      pending->on_device.push_back(together);
    }
  }
  if (!context_.device.is_cpu()) pending->copied = std::make_unique<c10::Event>(mark(context_.device.at));
  pending_.push_back(std::move(pending));
}

// The oldest; waits for it.
StepReport Engine::finish_report() {
  const std::unique_ptr<Pending> pending = std::move(pending_.front());
  pending_.pop_front();
  if (pending->copied) pending->copied->synchronize();
  context_.transport.check();  // before anybody believes these numbers
  StepReport made = std::move(pending->report);
  const double* next = pending->numbers.defined() ? pending->numbers.const_data_ptr<double>() : nullptr;
  for (size_t i = 0; i < made.stages.size(); ++i) {
    StageReport& stage = made.stages[i];
    for (size_t microbatch = 0; microbatch < pending->losses[i]; ++microbatch) {
      if (!made.left_out) check_loss(made.step, stage.stage, static_cast<int64_t>(microbatch), *next);
      stage.loss.sum += *next++;
    }
    stage.body_norm_squared = *next++;
    stage.head_norm_squared = *next++;
    if (!made.left_out) check_norm(made.step, stage.stage, stage.body_norm_squared + stage.head_norm_squared);
  }
  if (pending->has_model_norm) made.norm_squared_of_model = *next;
  // When the device was done with the step, not when the host came to ask.
  const double end = stopwatch_.seconds(pending->end);
  made.seconds = end - last_end_;
  last_end_ = end;
  if (context_.device.is_cpu()) return made;
  double computed = 0;
  for (const Step::Timed& one : pending->timed) {
    const double begin = stopwatch_.seconds(one.begin), took = stopwatch_.seconds(one.end) - begin;
    if (!pending->first) {
      MeasuredCost& cost = measured_[one.action.stage][static_cast<int>(one.action.kind)];
      cost.seconds += took;
      ++cost.times;
    }
    computed += took;
    if (trace_.wants(made.step)) trace_.record({TraceTrack::compute, begin, begin + took, one.text, made.step, 0, 0});
  }
  stopwatch_.rebase(pending->end);
  made.waited = std::max(0.0, made.seconds - computed);
  return made;
}

std::vector<StepReport> Engine::reports(size_t left) {
  std::vector<StepReport> made;
  while (pending_.size() > left) made.push_back(finish_report());
  return made;
}

std::vector<StepReport> Engine::finish_steps() { return reports(0); }

}  // namespace interlock
