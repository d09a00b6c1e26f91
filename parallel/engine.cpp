#include "parallel/engine.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cassert>
#include <cmath>

#include "parallel/stage.h"

namespace interlock {
namespace {

Buffer buffer_of(const at::Tensor& tensor) {
  auto owner = std::make_shared<at::Tensor>(tensor);
  return {owner, static_cast<std::byte*>(owner->data_ptr()), static_cast<uint64_t>(owner->nbytes())};
}

template <class T>
std::span<T> span_of(at::Tensor& tensor) {
  return {tensor.data_ptr<T>(), static_cast<size_t>(tensor.numel())};
}

}  // namespace

struct Engine::Step {
  Step(const Plan& plan_of_step, const StepOptions& what, const EvaluationShare* share = nullptr)
      : plan(plan_of_step), options(what), evaluation(share) {}
  const Plan& plan;
  StepOptions options;
  const EvaluationShare* evaluation = nullptr;
  double targets = 0;  // predicted in the whole step, over replicas
  double waited = 0;
  double norm_squared_of_model = -1;
  // By (stage, microbatch): inputs that arrived, outputs to send, gradients that came for a stage or go out of it.
  std::map<std::pair<int, int>, Arrival> inputs;
  std::map<std::pair<int, int>, at::Tensor> outputs;
  std::map<std::array<int, 3>, Arrival> incoming;                       // stage, microbatch, incoming stream
  std::map<std::array<int, 3>, at::Tensor> outgoing;                    // stage, microbatch, outgoing stream
  std::map<int, std::pair<std::shared_ptr<const Batch>, int>> batches;  // microbatch -> batch, forwards still to come
  std::map<int, StageReport> reports;
  std::vector<LossValue> evaluated;
};

Engine::Engine(Parts parts)
    : parts_(std::move(parts)),
      // Groups are numbered so that no two share a lane: one per pipeline rank, then one per replica.
      same_stages_(parts_.transport, parts_.topology.same_stages(), 1 + parts_.topology.pipeline_rank(), parts_.run),
      pipeline_(parts_.transport, parts_.topology.pipeline(),
                1 + parts_.topology.shape.ranks + parts_.topology.replica(), parts_.run),
      trace_(parts_.trace_steps) {
  counters_.forward.resize(std::max(0, parts_.topology.shape.stages - 1));
  counters_.backward.resize(counters_.forward.size());
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
  Step step(plan, options);
  step.targets = static_cast<double>(parts_.loader->training_targets(options.step));
  for (const Action& action : plan.ranks[parts_.topology.pipeline_rank()]) perform(step, action);
  assert(step.inputs.empty() && step.outputs.empty() && step.incoming.empty() && step.outgoing.empty());

  StepReport report;
  report.step = options.step;
  for (const auto& [index, stage_report] : step.reports) report.stages.push_back(stage_report);
  const double now = TraceRecorder::now();
  report.seconds = now - last_end_;
  report.waited = step.waited;
  report.norm_squared_of_model = step.norm_squared_of_model;
  last_end_ = now;
  return report;
}

std::vector<LossValue> Engine::evaluate(const Plan& plan, const StepOptions& options, const EvaluationShare& share) {
  Step step(plan, options, &share);
  step.evaluated.resize(share.indices.size());
  for (const Action& action : plan.ranks[parts_.topology.pipeline_rank()]) perform(step, action);
  last_end_ = TraceRecorder::now();
  if (!parts_.topology.holds(plan.shape.stages - 1)) step.evaluated.clear();
  return std::move(step.evaluated);
}

void Engine::drain() {
  for (auto& [lane, handles] : sending_)
    for (auto& handle : handles) handle->join();
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
    case Kind::reduce_norm:
      reduce_norm(step);
      break;
    case Kind::update:
      update(step, stage(action.stage));
      break;
  }
  if (step.evaluation) return;
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
    const Batch made = step.evaluation
                           ? parts_.loader->held_out(step.evaluation->limit, step.evaluation->indices[microbatch])
                           : parts_.loader->training(step.options.step, parts_.topology.replica(), microbatch);
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
  ForwardContext context{examples.get(), parts_.loader ? step.options.seed : 0, step.options.step, !step.evaluation};
  at::Tensor output;
  if (step.evaluation) {
    output = stage(index).evaluate(input, context);
    if (index + 1 == step.plan.shape.stages) {
      step.evaluated[microbatch] = stage(index).evaluate_loss(output, context);
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
    throw Error(ExitCode::gave_up,
                message("the loss of stage ", action.stage, " is ", value.sum, " at step ", step.options.step,
                        ", microbatch ", action.microbatch, " of replica ", parts_.topology.replica(),
                        "; the weights of the last evaluation are kept. A lower optimizer.learning_rate, a longer "
                        "optimizer.warmup_steps or optimizer.clip may help"));
  StageReport& report = step.reports[action.stage];
  report.loss.sum += value.sum;
  report.loss.count += value.count;
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
  if (action.kind == Kind::weight_gradient) {
    here.weight_gradient(action.microbatch);
  } else if (action.kind == Kind::backward) {
    hand_down(step, action, here.backward(action.microbatch, stream));
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

// ---- Messages

MessageHeader Engine::header(const Step& step, MessageKind kind, int boundary, int stream, int loss, int microbatch,
                             const at::Tensor& tensor) const {
  MessageHeader header;
  header.run = parts_.run;
  // Evaluations come between steps; a negative number keeps their messages apart from the step's own.
  header.step = step.evaluation ? -step.options.step : step.options.step;
  header.microbatch = microbatch;
  header.loss = loss;
  header.lane = {kind, boundary, stream};
  header.dtype = static_cast<int8_t>(tensor.scalar_type());
  header.dimensions = static_cast<int8_t>(tensor.dim());
  std::copy(tensor.sizes().begin(), tensor.sizes().end(), header.shape.begin());
  header.bytes = tensor.nbytes();
  return header;
}

uint64_t Engine::flow_id(const Step& step, MessageKind kind, int boundary, int stream, int microbatch) const {
  uint64_t id = 1469598103934665603ULL;  // FNV-1a over what names the message
  for (const uint64_t part :
       {static_cast<uint64_t>(parts_.topology.replica()), static_cast<uint64_t>(step.options.step),
        static_cast<uint64_t>(kind), static_cast<uint64_t>(boundary), static_cast<uint64_t>(stream),
        static_cast<uint64_t>(microbatch)})
    id = (id ^ part) * 1099511628211ULL;
  return id | 1;
}

void Engine::send(Step& step, const Action& action) {
  const bool forward = action.kind == Kind::send_forward;
  const int boundary = forward ? action.stage : action.stage - 1, stream = forward ? 0 : action.stream;
  at::Tensor tensor;
  if (forward) {
    const auto found = step.outputs.find({action.stage, action.microbatch});
    tensor = found->second.contiguous();
    step.outputs.erase(found);
  } else {
    const auto found = step.outgoing.find({action.stage, action.microbatch, action.stream});
    tensor = found->second.contiguous();
    step.outgoing.erase(found);
  }
  const MessageKind kind = forward ? MessageKind::activation : MessageKind::gradient;
  const int loss = forward ? -1 : step.plan.flows.stages[action.stage].outgoing[stream].stream.losses.front();
  const MessageHeader what = header(step, kind, boundary, stream, loss, action.microbatch, tensor);

  // At most two unreceived messages per lane: a stage that runs ahead holds bounded memory.
  auto& queue = sending_[what.lane];
  while (!queue.empty() && queue.front()->done()) {
    queue.front()->join();
    queue.pop_front();
  }
  if (queue.size() >= 2) {
    wait(step, *queue.front());
    queue.pop_front();
  }
  const double begin = TraceRecorder::now();
  const int to = parts_.topology.world_rank_of(forward ? action.stage + 1 : action.stage - 1);
  queue.push_back(parts_.transport.send(to, what, buffer_of(tensor)));
  if (step.evaluation) return;
  ++(forward ? counters_.forward : counters_.backward)[boundary];
  ++counters_.messages;
  counters_.bytes += what.bytes;
  if (trace_.wants(step.options.step))
    trace_.record({TraceTrack::communication, begin, TraceRecorder::now(), current_, step.options.step,
                   flow_id(step, kind, boundary, stream, action.microbatch), 0});
}

void Engine::post(Step& step, const Action& action) {
  const bool forward = action.kind == Kind::receive_forward;
  const int boundary = forward ? action.stage - 1 : action.stage, stream = forward ? 0 : action.stream;
  const int64_t samples = step.evaluation ? parts_.loader->held_out_samples(step.evaluation->limit,
                                                                            step.evaluation->indices[action.microbatch])
                                          : parts_.loader->shape().microbatch_size;
  std::vector<int64_t> shape{samples};
  shape.insert(shape.end(), parts_.boundary_shape.begin(), parts_.boundary_shape.end());
  at::Tensor tensor =
      at::empty(shape, at::TensorOptions().dtype(parts_.dtype));  // 64-byte aligned by LibTorch's allocator
  const MessageKind kind = forward ? MessageKind::activation : MessageKind::gradient;
  const int loss = forward ? -1 : step.plan.flows.stages[action.stage].incoming[stream].losses.front();
  const MessageHeader what = header(step, kind, boundary, stream, loss, action.microbatch, tensor);
  const int from = parts_.topology.world_rank_of(forward ? action.stage - 1 : action.stage + 1);
  Arrival arrival{tensor, parts_.transport.receive(from, what, buffer_of(tensor)),
                  flow_id(step, kind, boundary, stream, action.microbatch)};
  if (forward) {
    step.inputs[{action.stage, action.microbatch}] = std::move(arrival);
  } else {
    step.incoming[{action.stage, action.microbatch, stream}] = std::move(arrival);
  }
}

at::Tensor Engine::take(Step& step, Arrival& arrival) {
  if (arrival.handle) wait(step, *arrival.handle, arrival.flow);
  return std::move(arrival.tensor);
}

void Engine::wait(Step& step, Handle& handle, uint64_t flow) {
  const double begin = TraceRecorder::now();
  handle.join();
  const double end = TraceRecorder::now();
  step.waited += end - begin;
  if (!step.evaluation && trace_.wants(step.options.step))
    trace_.record({TraceTrack::waiting, begin, end, "wait " + current_, step.options.step, 0, flow});
}

// ---- The end of a step

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
                        "; the weights of the last evaluation are kept. A lower "
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
