#include "parallel/keeping/stored_state.h"

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cstring>

#include "parallel/keeping/weights.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

std::span<std::byte> bytes_of(const at::Tensor& tensor) {
  return {static_cast<std::byte*>(tensor.data_ptr()), static_cast<size_t>(tensor.nbytes())};
}

// The part of a whole state tensor that belongs to a shard; a count belongs to all of them.
at::Tensor part_of(const at::Tensor& whole, const TrainableGroup::Shard& shard) {
  return whole.dim() == 0 ? whole : whole.view({-1}).narrow(0, shard.begin, shard.end - shard.begin);
}

// The state tensors [name] of a whole parameter, of which each replica owns shards. Every replica calls it for the same
// parameters in the same order; only the first gets tensors.
std::vector<at::Tensor> gather_state(TrainableGroup& group, size_t parameter, Group& replicas) {
  const Parameter& whole = group.parameters()[parameter];
  const auto names = group.optimizer().state_names();
  const auto own_state = group.optimizer().state();
  std::vector<at::Tensor> gathered;
  for (size_t name = 0; name < names.size(); ++name) {
    at::Tensor result;
    for (size_t i = 0, here = 0; i < group.shards().size(); ++i) {
      const bool mine = here < group.own_shards().size() && group.own_shards()[here] == i;
      const size_t at = here;
      here += mine ? 1 : 0;
      const TrainableGroup::Shard& shard = group.shards()[i];
      if (shard.parameter != parameter) continue;
      std::string bytes;
      if (mine) {
        const std::span<std::byte> own = bytes_of(own_state[at][name]);
        bytes.assign(reinterpret_cast<const char*>(own.data()), own.size());
      }
      bytes = replicas.collect(bytes, shard.owner, 0);
      if (replicas.position() != 0) continue;
      const bool count = bytes.size() != static_cast<size_t>(shard.end - shard.begin) * whole.value.element_size();
      if (!result.defined())
        result = count ? at::empty({}, at::kFloat)
                       : at::empty(whole.value.sizes(), whole.value.options().requires_grad(false));
      const at::Tensor to = part_of(result, shard);
      std::memcpy(to.data_ptr(), bytes.data(), bytes.size());
    }
    gathered.push_back(std::move(result));
  }
  return gathered;
}

}  // namespace

CheckpointPart::Tensor stored_copy(const std::string& name, const at::Tensor& tensor) {
  const auto copy = std::make_shared<at::Tensor>(tensor.detach().contiguous().clone());
  TensorEntry entry{name, safetensors_dtype(copy->scalar_type()), copy->sizes().vec(), 0, 0};
  const std::span<std::byte> bytes = bytes_of(*copy);
  return {std::move(entry), copy, bytes};
}

std::vector<CheckpointPart::Tensor> copy_weights(Stage& stage,
                                                 const std::vector<std::pair<std::string, std::string>>& aliases) {
  std::vector<CheckpointPart::Tensor> tensors;
  for (const ParameterStore::Entry& entry : stage.store().entries())
    if (entry.stored) tensors.push_back(stored_copy(entry.name, entry.value));
  for (const auto& [alias, name] : aliases) {
    const auto found =
        std::find_if(tensors.begin(), tensors.end(), [&](const auto& tensor) { return tensor.entry.name == name; });
    if (found == tensors.end()) continue;
    CheckpointPart::Tensor same = *found;  // the same copy in memory
    same.entry.name = alias;
    tensors.push_back(std::move(same));
  }
  return tensors;
}

std::vector<CheckpointPart::Tensor> copy_optimizer_state(Stage& stage, Group& replicas) {
  std::vector<CheckpointPart::Tensor> tensors;
  for (const auto& group : stage.groups()) {
    if (!group->options().primary) continue;
    const auto names = group->optimizer().state_names();
    const auto own = group->optimizer().state();
    for (size_t i = 0; i < group->parameters().size(); ++i) {
      const std::string& parameter = group->parameters()[i].name;
      // Unshared, this replica's own state is the whole, and the others need not be asked.
      const auto values = group->is_sharded() ? gather_state(*group, i, replicas) : own[i];
      for (size_t name = 0; name < names.size(); ++name)
        if (values[name].defined()) tensors.push_back(stored_copy(parameter + "." + names[name], values[name]));
    }
  }
  return tensors;
}

at::Tensor stored_tensor(const Checkpoint& checkpoint, const std::string& name) {
  const TensorEntry* entry = checkpoint.find(name);
  return entry == nullptr ? at::Tensor() : tensor_view(*entry, checkpoint.bytes(name), checkpoint.folder());
}

std::vector<std::string> restore_optimizer_state(Stage& stage, const Checkpoint& checkpoint) {
  c10::NoGradGuard no_graph;
  std::vector<std::string> fresh;
  for (const auto& group : stage.groups()) {
    const auto names = group->optimizer().state_names();
    const auto state = group->optimizer().state();
    for (size_t i = 0; i < group->own_shards().size(); ++i) {
      const TrainableGroup::Shard& shard = group->shards()[group->own_shards()[i]];
      const Parameter& whole = group->parameters()[shard.parameter];
      for (size_t name = 0; name < names.size(); ++name) {
        const std::string key = whole.name + "." + names[name];
        const at::Tensor stored = stored_tensor(checkpoint, key);
        if (!stored.defined()) {
          fresh.push_back(key);
          continue;
        }
        if (stored.dim() != 0 && stored.sizes() != whole.value.sizes())
          throw Error(ExitCode::bad_input, message(checkpoint.folder(), ": ", key, " has ", stored.numel(),
                                                   " numbers, its parameter here ", whole.value.numel()));
        at::Tensor to = state[i][name];
        to.view({-1}).copy_(part_of(stored, shard).view({-1}));
      }
    }
  }
  return fresh;
}

}  // namespace interlock
