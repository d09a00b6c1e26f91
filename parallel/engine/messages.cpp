// How the engine sends and receives: what names a message, how far a sender may run ahead, and the time spent waiting.

#include <algorithm>

#include "parallel/engine/step.h"
#include "parallel/stage/stage.h"
#include "runtime/device/staging.h"

namespace interlock {
namespace {

Buffer buffer_of(const at::Tensor& tensor) {
  auto owner = std::make_shared<at::Tensor>(tensor);
  return {owner, static_cast<std::byte*>(owner->data_ptr()), static_cast<uint64_t>(owner->nbytes())};
}

// What an action before this one has made; a plan that sends what was not made was not proved.
template <class Key>
at::Tensor take_made(std::map<Key, at::Tensor>& made, const Key& key, const std::string& action) {
  const auto found = made.find(key);
  if (found == made.end())
    throw Error(ExitCode::gave_up, message(action, " sends a tensor that nobody has made: a mistake of the plan"));
  at::Tensor tensor = found->second.contiguous();
  made.erase(found);
  return tensor;
}

}  // namespace

MessageHeader Engine::header(const Step& step, MessageKind kind, int boundary, int stream, int loss, int microbatch,
                             const at::Tensor& tensor) const {
  MessageHeader header;
  header.run = context_.run;
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
       {static_cast<uint64_t>(context_.topology.replica()), static_cast<uint64_t>(step.options.step),
        static_cast<uint64_t>(kind), static_cast<uint64_t>(boundary), static_cast<uint64_t>(stream),
        static_cast<uint64_t>(microbatch)})
    id = (id ^ part) * 1099511628211ULL;
  return id | 1;
}

void Engine::send(Step& step, const Action& action) {
  const bool forward = action.kind == Kind::send_forward;
  const int boundary = forward ? action.stage : action.stage - 1, stream = forward ? 0 : action.stream;
  const at::Tensor tensor = forward
                                ? take_made(step.outputs, {action.stage, action.microbatch}, current_)
                                : take_made(step.outgoing, {action.stage, action.microbatch, action.stream}, current_);
  const MessageKind kind = forward ? MessageKind::activation : MessageKind::gradient;
  const int loss = forward ? -1 : step.plan.flows.stages[action.stage].outgoing[stream].stream.losses.front();
  const MessageHeader what = header(step, kind, boundary, stream, loss, action.microbatch, tensor);

  // At most two unreceived messages per lane: a stage that runs ahead holds bounded memory.
  auto& queue = sending_[what.lane];
  while (!queue.empty() && queue.front()->done()) {
    queue.front()->wait();
    queue.pop_front();
  }
  const int to = context_.topology.world_rank_of(forward ? action.stage + 1 : action.stage - 1);
  if (queue.size() >= 2) {
    wait(step, 0, to, [&] { queue.front()->wait(); });
    queue.pop_front();
  }
  const double begin = TraceRecorder::now();
  queue.push_back(context_.transport.send(to, what, buffer_of(in_place() ? tensor : on_host(tensor))));
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
  const int64_t samples = step.evaluation ? settings_.loader->held_out_samples(
                                                step.evaluation->limit, step.evaluation->indices[action.microbatch])
                                          : settings_.loader->shape().microbatch_size;
  std::vector<int64_t> shape{samples};
  const Boundary& passes = settings_.boundaries.at(boundary);
  shape.insert(shape.end(), passes.shape.begin(), passes.shape.end());
  if (passes.length_at >= 0) shape[1 + static_cast<size_t>(passes.length_at)] = width(step, action.microbatch);
  const MessageKind kind = forward ? MessageKind::activation : MessageKind::gradient;
  const at::Tensor tensor = in_place() ? slots_.take({kind, boundary, stream}, shape, passes.type, context_.device.at)
                                       : host_memory(shape, passes.type, context_.device.at);
  const int loss = forward ? -1 : step.plan.flows.stages[action.stage].incoming[stream].losses.front();
  const MessageHeader what = header(step, kind, boundary, stream, loss, action.microbatch, tensor);
  const int from = context_.topology.world_rank_of(forward ? action.stage - 1 : action.stage + 1);
  Arrival arrival{tensor, context_.transport.receive(from, what, buffer_of(tensor)),
                  flow_id(step, kind, boundary, stream, action.microbatch), from};
  if (forward) {
    step.inputs[{action.stage, action.microbatch}] = std::move(arrival);
  } else {
    step.incoming[{action.stage, action.microbatch, stream}] = std::move(arrival);
  }
}

at::Tensor Engine::take(Step& step, Arrival& arrival) {
  if (!arrival.handle) return std::move(arrival.tensor);
  wait(step, arrival.flow, arrival.from, [&] { arrival.handle->join(); });
  return in_place() ? std::move(arrival.tensor) : on_device(arrival.tensor, context_.device.at);
}

void Engine::wait(Step& step, uint64_t flow, int rank, const std::function<void()>& until) {
  const double begin = TraceRecorder::now();
  {
    const PulseWait waiting(pulse(), rank);
    until();
  }
  const double end = TraceRecorder::now();
  step.waited += end - begin;
  if (!context_.device.is_cpu()) step.since = stopwatch_.now();
  if (!step.evaluation && trace_.wants(step.options.step))
    trace_.record({TraceTrack::waiting, begin, end, "wait " + current_, step.options.step, 0, flow});
}

}  // namespace interlock
