// The actions that compute, and what they take and hand over.

#include "parallel/engine/engine.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <utility>

#include "parallel/engine/step.h"
#include "parallel/stage/stage.h"

namespace interlock {
Engine::Engine(RankContext& context, Settings settings)
    : context_(context), settings_(std::move(settings)), trace_(settings_.trace_steps) {
  counters_.forward.resize(std::max(0, context_.topology.shape.stages - 1));
  counters_.backward.resize(counters_.forward.size());
  for (auto& here : context_.stages)
    if (context_.replicas.size() > 1)
      here->before_use([this, &stage = *here](int64_t segment) { await_segment(stage, segment); });
  last_end_ = TraceRecorder::now();
}

Engine::~Engine() = default;

StepReport Engine::train(const Plan& plan, const StepOptions& options) {
  for (auto& stage : context_.stages) stage->follow(plan.flows.stages[stage->index()]);
  if (++steps_ == 2) measured_.clear();
  Step step(plan, options);
  begin_count(step);
  step.waited += std::exchange(waited_between_, 0.0);  // for values, since the step before
  for (const Action& action : plan.ranks[context_.topology.pipeline_rank()]) perform(step, action);
  assert(step.inputs.empty() && step.outputs.empty() && step.incoming.empty() && step.outgoing.empty());

  StepReport made = report(step);
  const double now = TraceRecorder::now();
  made.seconds = now - last_end_;
  last_end_ = now;
  return made;
}

// Where the losses of a step and what it tells of norms are read on the host.
StepReport Engine::report(const Step& step) const {
  const auto number = [](const at::Tensor& value) { return value.defined() ? value.item<double>() : 0.0; };
  StepReport made;
  made.step = step.options.step;
  for (const auto& [index, numbers] : step.numbers) {
    StageReport stage;
    stage.stage = index;
    for (size_t i = 0; i < numbers.losses.size(); ++i) stage.loss.sum += finite_loss(step, index, static_cast<int>(i));
    stage.loss.count = numbers.count;
    stage.body_norm_squared = number(numbers.body_norm_squared);
    stage.head_norm_squared = number(numbers.head_norm_squared);
    made.stages.push_back(stage);
  }
  context_.transport.check();  // before anybody believes these numbers
  made.waited = step.waited;
  made.loading = step.loading;
  made.norm_squared_of_model = step.norm_squared_of_model;
  return made;
}

double Engine::finite_loss(const Step& step, int stage, int microbatch) const {
  const double loss = step.numbers.at(stage).losses[microbatch].item<double>();
  if (std::isfinite(loss)) return loss;
  throw Error(ExitCode::gave_up,
              message("the loss of stage ", stage, " is ", loss, " at step ", step.options.step, ", microbatch ",
                      microbatch, " of replica ", context_.topology.replica(), "; ", what_stands,
                      ". A lower optimizer.learning_rate, a longer optimizer.warmup_steps or optimizer.clip may help"));
}

std::vector<LossValue> Engine::evaluate(const Plan& plan, const StepOptions& options, const EvaluationShare& share) {
  Step step(plan, options, &share);
  step.evaluated.resize(share.indices.size());
  waited_between_ = 0;
  for (const Action& action : plan.ranks[context_.topology.pipeline_rank()]) perform(step, action);
  context_.transport.check();
  if (!context_.topology.holds(plan.shape.stages - 1)) step.evaluated.clear();
  return std::move(step.evaluated);
}

void Engine::restart_clock() {
  last_end_ = TraceRecorder::now();
  waited_between_ = 0;
}

void Engine::drain() {
  await_values();
  for (auto& [lane, handles] : sending_)
    for (auto& handle : handles) handle->wait();
  sending_.clear();
}

void Engine::perform(Step& step, const Action& action) {
  current_ = text_of(action, step.plan.flows);
  const auto idle = [&] { return step.waited + step.loading; };
  const double idle_before = idle(), begin = TraceRecorder::now();
  switch (action.kind) {
    case Kind::forward:
      forward(step, action);
      break;
    case Kind::loss:
      loss(step, action);
      break;
    case Kind::input_gradient:
    case Kind::weight_gradient:
    case Kind::backward:
      pass(step, action);
      break;
    case Kind::send_forward:
    case Kind::send_backward:
      send(step, action);
      break;
    case Kind::receive_forward:
    case Kind::receive_backward:
      post(step, action);
      break;
    case Kind::reduce_gradient:
      reduce_gradient(step, context_.stage(action.stage));
      break;
    case Kind::reduce_tied:
      reduce_tied(step);
      break;
    case Kind::reduce_norm:
      reduce_norm(step);
      break;
    case Kind::update:
      update(step, context_.stage(action.stage));
      break;
  }
  step.waited += std::exchange(waited_between_, 0.0);
  if (step.evaluation) return;
  advance_reductions(step);
  const double end = TraceRecorder::now(), waited = idle() - idle_before;
  if (is_compute(action.kind)) {
    MeasuredCost& cost = measured_[action.stage][static_cast<int>(action.kind)];
    cost.seconds += end - begin - waited;
    ++cost.times;
    // What an action waited for comes before what it computed: batches are taken and receives are joined first.
    if (trace_.wants(step.options.step))
      trace_.record({TraceTrack::compute, begin + waited, end, current_, step.options.step, 0, 0});
  }
}

// ---- Compute

void Engine::forward(Step& step, const Action& action) {
  const int index = action.stage, microbatch = action.microbatch;
  const std::shared_ptr<const Batch> examples = batch(step, microbatch);
  at::Tensor input = examples->inputs;
  if (index > 0) {
    const auto arrival = step.inputs.find({index, microbatch});
    if (arrival == step.inputs.end())
      throw Error(ExitCode::gave_up,
                  message(current_, " works on an input that was not received: a mistake of the plan"));
    input = take(step, arrival->second);
    step.inputs.erase(arrival);
  }
  ForwardContext context{examples.get(), step.options.seed, step.options.step, !step.evaluation};
  at::Tensor output;
  if (step.evaluation) {
    output = context_.stage(index).evaluate(input, context);
    if (index + 1 == step.plan.shape.stages) {
      const LossValue value = context_.stage(index).evaluate_loss(output, context);
      if (!std::isfinite(value.sum))
        throw Error(ExitCode::gave_up,
                    message("the held-out loss of stage ", index, " is ", value.sum, " after step ", step.options.step,
                            ", held-out microbatch ", step.evaluation->indices[microbatch], "; ", what_stands));
      step.evaluated[microbatch] = value;
      return;
    }
  } else {
    output = context_.stage(index).forward(microbatch, std::move(input), examples, context);
  }
  if (index + 1 == step.plan.shape.stages) return;
  if (context_.topology.holds(index + 1)) {
    // detach: the next stage marks its input as requiring a gradient, which must not touch this stage's tensor.
    step.inputs[{index + 1, microbatch}] = {output.detach(), nullptr, 0};
    if (!step.evaluation) ++counters_.forward[index];
  } else {
    step.outputs[{index, microbatch}] = output;
  }
}

void Engine::loss(Step& step, const Action& action) {
  if (step.evaluation) return;  // scored with the forward of the last stage
  Stage& here = context_.stage(action.stage);
  LossSum value = here.loss(action.microbatch, targets(step));
  Step::StageNumbers& numbers = step.numbers[action.stage];
  numbers.losses.push_back(value.sum);
  numbers.count += value.count;
  // Where reading is free, a bad loss stops the step at once; elsewhere the report finds it.
  if (value.sum.is_cpu()) finite_loss(step, action.stage, action.microbatch);
  // Losses run once per microbatch in ascending order: after the last one the head's gradients are complete.
  if (action.microbatch + 1 < step.plan.shape.microbatches) return;
  for (TrainableGroup* group : here.active_groups()) {
    if (group->options().role == TrainableGroup::Role::body || group->options().shared) continue;
    group->complete();
    begin_reduction(step, *group, {0, group->gradient().numel()});
  }
}

void Engine::pass(Step& step, const Action& action) {
  Stage& here = context_.stage(action.stage);
  const int stream = action.kind == Kind::weight_gradient ? -1 : action.stream;
  for (const Term& term : here.terms(stream)) {
    if (term.source == Term::own_loss) continue;
    const auto arrival = step.incoming.find({action.stage, action.microbatch, term.source});
    if (arrival == step.incoming.end()) continue;  // an earlier pass of this microbatch delivered it
    here.deliver(action.microbatch, term.source, take(step, arrival->second));
    step.incoming.erase(arrival);
  }
  // A stage is taught once per microbatch in ascending order: in the last of these walks the gradients are complete
  // segment by segment, and their sum over replicas begins behind the walk.
  Stage::SegmentDone done;
  if (context_.topology.shape.replicas > 1 && action.microbatch + 1 == step.plan.shape.microbatches)
    done = [&](int64_t segment) { reduce_body(step, here, segment); };
  if (action.kind == Kind::weight_gradient) {
    here.weight_gradient(action.microbatch, done);
  } else if (action.kind == Kind::backward) {
    hand_down(step, action, here.backward(action.microbatch, stream, done));
  } else {
    hand_down(step, action, here.input_gradient(action.microbatch, stream));
  }
}

void Engine::hand_down(Step& step, const Action& action, at::Tensor gradient) {
  if (context_.topology.holds(action.stage - 1)) {
    // Outgoing stream s of a stage is incoming stream s of the stage below: both index the boundary's stream table.
    step.incoming[{action.stage - 1, action.microbatch, action.stream}] = {std::move(gradient), nullptr, 0};
    ++counters_.backward[action.stage - 1];
  } else {
    step.outgoing[{action.stage, action.microbatch, action.stream}] = std::move(gradient);
  }
}

}  // namespace interlock
