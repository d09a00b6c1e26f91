// Running statistics over replicas. Each replica takes in its own microbatches; at the end of every step all of them go
// on from the mean, added up in replica order. So an evaluation, a checkpoint and a resumed run find the same numbers
// whenever they come, and every replica holds them.

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>

#include <vector>

#include "parallel/engine/engine.h"
#include "parallel/engine/numbers.h"
#include "parallel/engine/step.h"
#include "parallel/stage/stage.h"

namespace interlock {
namespace {

std::vector<at::Tensor> buffers_of(Stage& stage) {
  std::vector<at::Tensor> buffers;
  for (const ParameterStore::Entry& entry : stage.store().entries())
    if (entry.kind == ParameterStore::Kind::buffer) buffers.push_back(entry.value);
  return buffers;
}

}  // namespace

void Engine::average_buffers(Step& step, Stage& here) {
  Collectives& replicas = context_.replica_values();
  const std::vector<at::Tensor> buffers = buffers_of(here);
  if (replicas.size() == 1 || buffers.empty()) return;
  const double start = TraceRecorder::now();
  std::vector<at::Tensor> flat;
  for (const at::Tensor& buffer : buffers) flat.push_back(buffer.reshape({-1}));
  const at::Tensor own = at::cat(flat);
  const at::Tensor all = at::empty({replicas.size(), own.numel()}, own.options());
  all[replicas.position()].copy_(own);
  {
    const PulseWait waiting(pulse(), waits_for_several);
    begin_over(all, in_place(), [&](const at::Tensor& where) {
      const auto owner = std::make_shared<at::Tensor>(where);
      auto* first = static_cast<std::byte*>(owner->data_ptr());
      const size_t bytes = owner->nbytes() / static_cast<size_t>(replicas.size());
      std::vector<Collectives::Shard> shards;
      for (int replica = 0; replica < replicas.size(); ++replica)
        shards.push_back({{first + static_cast<size_t>(replica) * bytes, bytes}, replica});
      return replicas.begin_all_gather(shards, owner);
    })->join();
  }
  note_waiting(step, start);
  at::Tensor sum = all[0].clone();
  for (int replica = 1; replica < replicas.size(); ++replica) sum.add_(all[replica]);
  sum.div_(replicas.size());
  int64_t begin = 0;
  for (const at::Tensor& buffer : buffers) {
    buffer.copy_(sum.narrow(0, begin, buffer.numel()).view(buffer.sizes()));
    begin += buffer.numel();
  }
}

}  // namespace interlock
