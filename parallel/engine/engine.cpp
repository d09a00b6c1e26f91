// The actions that compute, and what they take and hand over.

#include "parallel/engine/engine.h"

#include <ATen/ops/cat.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "parallel/engine/step.h"
#include "parallel/stage/stage.h"
#include "runtime/core/fault_site.h"
#include "runtime/core/nearest_name.h"
#include "runtime/device/staging.h"

namespace interlock {
Engine::Engine(RankContext& context, Settings settings)
    : context_(context), settings_(std::move(settings)), stopwatch_(context.device.at), trace_(settings_.trace_steps) {
  counters_.forward.resize(std::max(0, context_.topology.shape.stages - 1));
  counters_.backward.resize(counters_.forward.size());
  for (auto& here : context_.stages)
    if (context_.replicas.size() > 1)
      here->before_use([this, &stage = *here](int64_t segment) { await_segment(stage, segment); });
  last_end_ = TraceRecorder::now();
}

Engine::~Engine() = default;

std::vector<StepReport> Engine::train(const Plan& plan, const StepOptions& options) {
  for (auto& stage : context_.stages) stage->follow(plan.flows.stages[stage->index()]);
  if (++steps_ == 2) measured_.clear();
  divergence_.reset();
  for (auto& stage : context_.stages)
    if (options.agreed) stage->keep_buffers();
  Step step(plan, options);
  pulse().begin_step(options.step);
  begin_count(step);
  step.waited += std::exchange(waited_between_, 0.0);  // for values, since the step before
  for (const Action& action : plan.ranks[context_.topology.pipeline_rank()]) perform(step, action);
  if (options.agreed) update_together(step);
  if (!step.inputs.empty() || !step.outputs.empty() || !step.incoming.empty() || !step.outgoing.empty())
    throw Error(ExitCode::gave_up,
                message("step ", options.step, " ends with ",
                        step.inputs.size() + step.outputs.size() + step.incoming.size() + step.outgoing.size(),
                        " tensors that no action has taken: a mistake of the plan"));
  for (auto& stage : context_.stages) average_buffers(step, *stage);
  begin_report(step);
  return reports(context_.device.immediate ? 0 : 1);
}

std::map<int, std::vector<Evaluated>> Engine::evaluate(const Plan& plan, const StepOptions& options,
                                                       const EvaluationShare& share) {
  Step step(plan, options, &share);
  for (const auto& stage : context_.stages)
    if (scores_held_out(*stage, step)) step.evaluated[stage->index()].resize(share.indices.size());
  waited_between_ = 0;
  for (const Action& action : plan.ranks[context_.topology.pipeline_rank()]) perform(step, action);
  if (step.evaluated.empty()) return {};
  return read_losses(step);
}

// The last stage, and every other whose head has a loss under the rule in force.
bool Engine::scores_held_out(const Stage& stage, const Step& step) const {
  return stage.index() + 1 == step.plan.shape.stages || stage.runs_loss();
}

// All at once: on a device every look at a number waits.
std::map<int, std::vector<Evaluated>> Engine::read_losses(const Step& step) const {
  std::vector<at::Tensor> parts;
  for (const auto& [stage, losses] : step.evaluated)
    for (const LossSum& loss : losses) {
      parts.push_back(loss.sum.to(at::kDouble).reshape({1}));
      if (loss.guesses.defined()) parts.push_back(loss.guesses.reshape({-1}));
    }
  const at::Tensor numbers = on_host(at::cat(parts));
  context_.transport.check();  // before anybody believes them
  const double* next = numbers.const_data_ptr<double>();
  std::map<int, std::vector<Evaluated>> values;
  for (const auto& [stage, losses] : step.evaluated)
    for (size_t i = 0; i < losses.size(); ++i) {
      const double sum = *next++;
      const int64_t guesses = losses[i].guesses.defined() ? losses[i].guesses.size(0) : 0;
      Evaluated& one = values[stage].emplace_back(Evaluated{{sum, losses[i].count}, {}});
      for (int64_t row = 0; row < guesses; ++row, next += 3) one.guesses.push_back({next[0], next[1], next[2]});
      // What the model says ends a run; what a head below says is told as it is.
      if (stage + 1 == step.plan.shape.stages && !std::isfinite(sum))
        throw Error(ExitCode::gave_up,
                    message("the held-out loss of stage ", stage, " is ", sum, " after step ", step.options.step,
                            ", held-out microbatch ", step.evaluation->indices[i], "; ", what_stands));
    }
  return values;
}

// Nothing is under way: steps were finished before. The clocks of host and device meet again.
void Engine::restart_clock() {
  stopwatch_ = Stopwatch(context_.device.at);
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
  const bool on_cpu = context_.device.is_cpu();
  const bool put_off = action.kind == Kind::update && step.options.agreed && !step.may_update;
  pulse().act(current_, begin);
  fault_site(text_of(action.kind), step.options.step);
  if (!on_cpu) step.since = stopwatch_.now();
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
      measure(step, context_.stage(action.stage));
      if (put_off)
        step.updates.push_back(action);
      else
        update(step, context_.stage(action.stage));
      break;
  }
  step.waited += std::exchange(waited_between_, 0.0);
  if (step.evaluation || put_off) return;
  advance_reductions(step);
  if (is_compute(action.kind) && !on_cpu)
    step.timed.push_back({action, traced_name(step, action), step.since, stopwatch_.now()});
  const double end = TraceRecorder::now(), waited = idle() - idle_before;
  if (is_compute(action.kind) && on_cpu) {
    MeasuredCost& cost = measured_[action.stage][static_cast<int>(action.kind)];
    cost.seconds += end - begin - waited;
    ++cost.times;
    // What an action waited for comes before what it computed: batches are taken and receives are joined first.
    if (trace_.wants(step.options.step))
      trace_.record({TraceTrack::compute, begin + waited, end, traced_name(step, action), step.options.step, 0, 0});
  }
}

// The action as plans write it, and the layers that it leaves out: "2F3", "2F3 without 4, 5".
std::string Engine::traced_name(const Step& step, const Action& action) const {
  if (action.kind == Kind::loss || action.kind == Kind::update) return current_;
  std::vector<std::string> layers;
  for (const int64_t layer : context_.stage(action.stage).left_out(context_of(step, action.microbatch)))
    layers.push_back(std::to_string(layer));
  return layers.empty() ? current_ : current_ + " without " + join(layers);
}

ForwardContext Engine::context_of(const Step& step, int microbatch, const Batch* batch) const {
  ForwardContext context{batch, step.options.seed, step.options.step, !step.evaluation};
  context.microbatch = int64_t{context_.topology.replica()} * step.plan.shape.microbatches + microbatch;
  return context;
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
  const ForwardContext context = context_of(step, microbatch, examples.get());
  at::Tensor output;
  if (step.evaluation) {
    Stage& here = context_.stage(index);
    const bool last = index + 1 == step.plan.shape.stages;
    if (!scores_held_out(here, step)) {
      output = here.evaluate(input, context);
    } else {
      auto [result, loss] = here.evaluate_with_loss(input, context);
      output = std::move(result);
      if (!last) loss.guesses = at::Tensor();
      step.evaluated[index][microbatch] = std::move(loss);
    }
    if (last) return;
  } else {
    output = context_.stage(index).forward(microbatch, std::move(input), examples, context);
  }
  if (index + 1 == step.plan.shape.stages) return;
  if (context_.topology.holds(index + 1)) {
    // detach: the next stage marks its input as requiring a gradient, which must not touch this stage's tensor.
    step.inputs[{index + 1, microbatch}] = {output.detach(), nullptr, 0, 0};
    if (!step.evaluation) ++counters_.forward[index];
  } else {
    step.outputs[{index, microbatch}] = output;
  }
}

void Engine::loss(Step& step, const Action& action) {
  if (step.evaluation) return;  // scored with the forward
  Stage& here = context_.stage(action.stage);
  LossSum value = here.loss(action.microbatch, targets(step));
  Step::StageNumbers& numbers = step.numbers[action.stage];
  numbers.losses.push_back(value.sum);
  numbers.count += value.count;
  // Where reading is free, a bad loss stops the step at once; elsewhere the report finds it.
  if (context_.device.immediate && !step.options.agreed)
    check_loss(step.options.step, action.stage, action.microbatch, value.sum.item<double>());
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
    step.incoming[{action.stage - 1, action.microbatch, action.stream}] = {std::move(gradient), nullptr, 0, 0};
    ++counters_.backward[action.stage - 1];
  } else {
    step.outgoing[{action.stage, action.microbatch, action.stream}] = std::move(gradient);
  }
}

}  // namespace interlock
