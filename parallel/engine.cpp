// The actions that compute, and what they take and hand over.

#include "parallel/engine.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "parallel/engine_step.h"
#include "parallel/stage.h"

namespace interlock {
Engine::Engine(Parts parts)
    : parts_(std::move(parts)),
      // Groups are numbered so that no two share a lane: one per pipeline rank, then one per replica.
      same_stages_(parts_.transport, parts_.topology.same_stages(), 1 + parts_.topology.pipeline_rank(), parts_.run),
      pipeline_(parts_.transport, parts_.topology.pipeline(),
                1 + parts_.topology.shape.ranks + parts_.topology.replica(), parts_.run),
      trace_(parts_.trace_steps) {
  counters_.forward.resize(std::max(0, parts_.topology.shape.stages - 1));
  counters_.backward.resize(counters_.forward.size());
  const PlanShape& shape = parts_.topology.shape;
  const int first = parts_.topology.world_rank_of(0), last = parts_.topology.world_rank_of(shape.stages - 1);
  const int here = parts_.topology.world_rank;
  if (parts_.tied && first != last && (here == first || here == last))
    ends_.emplace(parts_.transport, std::vector<int>{first, last},
                  1 + shape.ranks + shape.replicas + parts_.topology.replica(), parts_.run);
  last_end_ = TraceRecorder::now();
}

Engine::~Engine() = default;

Stage& Engine::stage(int index) {
  for (auto& stage : parts_.stages)
    if (stage->index() == index) return *stage;
  assert(false && "an action of a stage that is not here");
  std::abort();
}

StepReport Engine::train(const Plan& plan, const StepOptions& options) {
  for (auto& stage : parts_.stages) stage->follow(plan.flows.stages[stage->index()]);
  if (++steps_ == 2) measured_.clear();
  Step step(plan, options);
  const double begin = TraceRecorder::now();
  step.targets = static_cast<double>(parts_.loader->training_targets(options.step));
  step.loading = TraceRecorder::now() - begin;
  for (const Action& action : plan.ranks[parts_.topology.pipeline_rank()]) perform(step, action);
  assert(step.inputs.empty() && step.outputs.empty() && step.incoming.empty() && step.outgoing.empty());

  StepReport report;
  report.step = options.step;
  for (const auto& [index, stage_report] : step.reports) report.stages.push_back(stage_report);
  const double now = TraceRecorder::now();
  report.seconds = now - last_end_;
  report.waited = step.waited;
  report.loading = step.loading;
  report.norm_squared_of_model = step.norm_squared_of_model;
  last_end_ = now;
  return report;
}

std::vector<LossValue> Engine::evaluate(const Plan& plan, const StepOptions& options, const EvaluationShare& share) {
  Step step(plan, options, &share);
  step.evaluated.resize(share.indices.size());
  for (const Action& action : plan.ranks[parts_.topology.pipeline_rank()]) perform(step, action);
  if (!parts_.topology.holds(plan.shape.stages - 1)) step.evaluated.clear();
  return std::move(step.evaluated);
}

void Engine::restart_clock() { last_end_ = TraceRecorder::now(); }

void Engine::drain() {
  for (auto& [lane, handles] : sending_)
    for (auto& handle : handles) handle->wait();
  sending_.clear();
}

void Engine::perform(Step& step, const Action& action) {
  current_ = text_of(action, step.plan.flows);
  const double waited_before = step.waited, begin = TraceRecorder::now();
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
      reduce_gradient(step, stage(action.stage));
      break;
    case Kind::reduce_tied:
      reduce_tied(step);
      break;
    case Kind::reduce_norm:
      reduce_norm(step);
      break;
    case Kind::update:
      update(step, stage(action.stage));
      break;
  }
  if (step.evaluation) return;
  advance_reductions(step);
  const double end = TraceRecorder::now(), waited = step.waited - waited_before;
  if (is_compute(action.kind)) {
    MeasuredCost& cost = measured_[action.stage][static_cast<int>(action.kind)];
    cost.seconds += end - begin - waited;
    ++cost.times;
    // What an action waited for comes before what it computed: receives are joined first.
    if (trace_.wants(step.options.step))
      trace_.record({TraceTrack::compute, begin + waited, end, current_, step.options.step, 0, 0});
  }
}

// ---- Compute

std::shared_ptr<const Batch> Engine::batch(Step& step, int microbatch) {
  auto found = step.batches.find(microbatch);
  if (found == step.batches.end()) {
    const double begin = TraceRecorder::now();
    const Batch made = step.evaluation
                           ? parts_.loader->held_out(step.evaluation->limit, step.evaluation->indices[microbatch])
                           : parts_.loader->training(step.options.step, parts_.topology.replica(), microbatch);
    step.loading += TraceRecorder::now() - begin;
    const int uses = static_cast<int>(parts_.stages.size());
    found = step.batches.emplace(microbatch, std::pair(std::make_shared<const Batch>(made), uses)).first;
  }
  std::shared_ptr<const Batch> result = found->second.first;
  if (--found->second.second == 0) step.batches.erase(found);
  return result;
}

void Engine::forward(Step& step, const Action& action) {
  const int index = action.stage, microbatch = action.microbatch;
  const std::shared_ptr<const Batch> examples = batch(step, microbatch);
  at::Tensor input = examples->inputs;
  if (index > 0) {
    const auto arrival = step.inputs.find({index, microbatch});
    assert(arrival != step.inputs.end());
    input = take(step, arrival->second);
    step.inputs.erase(arrival);
  }
  ForwardContext context{examples.get(), step.options.seed, step.options.step, !step.evaluation};
  at::Tensor output;
  if (step.evaluation) {
    output = stage(index).evaluate(input, context);
    if (index + 1 == step.plan.shape.stages) {
      const LossValue value = stage(index).evaluate_loss(output, context);
      if (!std::isfinite(value.sum))
        throw Error(ExitCode::gave_up,
                    message("the held-out loss of stage ", index, " is ", value.sum, " after step ", step.options.step,
                            ", held-out microbatch ", step.evaluation->indices[microbatch],
                            "; weights of an earlier evaluation, if there was one, are kept"));
      step.evaluated[microbatch] = value;
      return;
    }
  } else {
    output = stage(index).forward(microbatch, std::move(input), examples, context);
  }
  if (index + 1 == step.plan.shape.stages) return;
  if (parts_.topology.holds(index + 1)) {
    // detach: the next stage marks its input as requiring a gradient, which must not touch this stage's tensor.
    step.inputs[{index + 1, microbatch}] = {output.detach(), nullptr, 0};
    if (!step.evaluation) ++counters_.forward[index];
  } else {
    step.outputs[{index, microbatch}] = output;
  }
}

void Engine::loss(Step& step, const Action& action) {
  if (step.evaluation) return;  // scored with the forward of the last stage
  const LossValue value = stage(action.stage).loss(action.microbatch, step.targets);
  if (!std::isfinite(value.sum))
    throw Error(
        ExitCode::gave_up,
        message(
            "the loss of stage ", action.stage, " is ", value.sum, " at step ", step.options.step, ", microbatch ",
            action.microbatch, " of replica ", parts_.topology.replica(),
            "; weights of an earlier evaluation, if there was one, are kept. A lower optimizer.learning_rate, a longer "
            "optimizer.warmup_steps or optimizer.clip may help"));
  StageReport& report = step.reports[action.stage];
  report.loss.sum += value.sum;
  report.loss.count += value.count;
  // Losses run once per microbatch in ascending order: after the last one the head's gradients are complete.
  if (action.microbatch + 1 == step.plan.shape.microbatches)
    begin_reduction(step, stage(action.stage).head()->gradient());
}

void Engine::pass(Step& step, const Action& action) {
  Stage& here = stage(action.stage);
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
  if (parts_.topology.shape.replicas > 1 && action.microbatch + 1 == step.plan.shape.microbatches)
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
  if (parts_.topology.holds(action.stage - 1)) {
    // Outgoing stream s of a stage is incoming stream s of the stage below: both index the boundary's stream table.
    step.incoming[{action.stage - 1, action.microbatch, action.stream}] = {std::move(gradient), nullptr, 0};
    ++counters_.backward[action.stage - 1];
  } else {
    step.outgoing[{action.stage, action.microbatch, action.stream}] = std::move(gradient);
  }
}

}  // namespace interlock
