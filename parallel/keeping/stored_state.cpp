#include "parallel/keeping/stored_state.h"

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <span>

#include "runtime/core/error.h"
#include "runtime/storage/tensor_pieces.h"
#include "runtime/storage/tensors/tensor_entry.h"

namespace interlock {
namespace {

std::span<std::byte> bytes_of(const at::Tensor& tensor) {
  return {static_cast<std::byte*>(tensor.data_ptr()), static_cast<size_t>(tensor.nbytes())};
}

bool is_cut(const TrainableGroup& group, const TrainableGroup::Shard& shard) {
  return shard.end - shard.begin < group.parameters()[shard.parameter].value.numel();
}

// The elements of a state tensor that `to`, the state of a shard, stands for: where in the whole, and its shape.
struct Extent {
  std::vector<int64_t> shape;
  int64_t begin = 0;
};
Extent extent_of(const TrainableGroup& group, const TrainableGroup::Shard& shard, const at::Tensor& to) {
  if (!is_cut(group, shard) || to.dim() == 0) return {to.sizes().vec(), 0};
  return {group.parameters()[shard.parameter].value.sizes().vec(), shard.begin};
}

// `to` := elements [begin, begin + its size) of the tensor that the pieces hold.
void fill(const at::Tensor& to, int64_t begin, const std::vector<TensorPiece>& pieces, const Checkpoint& checkpoint) {
  const at::Tensor flat = to.view({-1});
  for (const TensorPiece& piece : pieces) {
    const int64_t first = std::max(piece.begin, begin), last = std::min(piece.end, begin + flat.numel());
    if (first >= last) continue;
    const at::Tensor stored = tensor_view(*piece.entry, checkpoint.bytes(piece.entry->name), checkpoint.folder());
    flat.narrow(0, first - begin, last - first).copy_(stored.view({-1}).narrow(0, first - piece.begin, last - first));
  }
}

}  // namespace

CheckpointPart::Tensor stored_copy(const std::string& name, const at::Tensor& tensor) {
  // Ordinary memory: as much as all weights and states, for as long as the files are written.
  const auto copy = std::make_shared<at::Tensor>(at::empty(tensor.sizes(), tensor.options().device(at::kCPU)));
  copy->copy_(tensor.detach());
  TensorEntry entry{name, safetensors_dtype(copy->scalar_type()), copy->sizes().vec(), 0, 0};
  const std::span<std::byte> bytes = bytes_of(*copy);
  return {std::move(entry), copy, bytes};
}

std::vector<CheckpointPart::Tensor> copy_weights(Stage& stage,
                                                 const std::vector<std::pair<std::string, std::string>>& aliases,
                                                 const std::set<std::string>& elsewhere) {
  std::vector<CheckpointPart::Tensor> tensors;
  for (const ParameterStore::Entry& entry : stage.store().entries()) {
    const bool left_out = entry.kind == ParameterStore::Kind::frozen && elsewhere.contains(entry.name);
    if (entry.stored && !left_out) tensors.push_back(stored_copy(entry.name, entry.value));
  }
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

bool is_sharded(const Stage& stage) {
  return std::ranges::any_of(stage.groups(), [](const auto& group) { return group->is_sharded(); });
}

std::vector<CheckpointPart::Tensor> copy_optimizer_state(Stage& stage, int replica) {
  std::vector<CheckpointPart::Tensor> tensors;
  for (const auto& group : stage.groups()) {
    if (!group->options().primary || (!group->is_sharded() && replica != 0)) continue;
    const auto names = group->optimizer().state_names();
    const auto state = group->optimizer().state();
    for (size_t i = 0; i < group->own_shards().size(); ++i) {
      const TrainableGroup::Shard& shard = group->shards()[group->own_shards()[i]];
      const bool cut = is_cut(*group, shard);
      for (size_t name = 0; name < names.size(); ++name) {
        const at::Tensor& value = state[i][name];
        const std::string key = group->parameters()[shard.parameter].name + "." + names[name];
        if (!value.defined() || (cut && value.dim() == 0 && shard.begin != 0)) continue;
        tensors.push_back(stored_copy(cut && value.dim() != 0 ? piece_name(key, shard.begin, shard.end) : key, value));
      }
    }
  }
  return tensors;
}

at::Tensor stored_tensor(const Checkpoint& checkpoint, const std::string& name, at::IntArrayRef shape) {
  const TensorEntry* entry = checkpoint.find(name);
  if (entry == nullptr) return {};
  if (entry->shape != shape.vec())
    throw Error(ExitCode::bad_input, message(checkpoint.folder(), ": ", name, " has shape ",
                                             at::IntArrayRef(entry->shape), ", needed here is ", shape));
  return tensor_view(*entry, checkpoint.bytes(name), checkpoint.folder());
}

std::vector<std::string> restore_optimizer_state(Stage& stage, const Checkpoint& checkpoint) {
  c10::NoGradGuard no_graph;
  std::vector<std::string> fresh;
  for (const auto& group : stage.groups()) {
    const auto names = group->optimizer().state_names();
    const auto state = group->optimizer().state();
    for (size_t i = 0; i < group->own_shards().size(); ++i) {
      const TrainableGroup::Shard& shard = group->shards()[group->own_shards()[i]];
      std::vector<std::string> absent, present;
      for (size_t name = 0; name < names.size(); ++name) {
        const std::string key = group->parameters()[shard.parameter].name + "." + names[name];
        const Extent extent = extent_of(*group, shard, state[i][name]);
        const std::vector<TensorPiece> pieces = pieces_of(checkpoint, key, extent.shape);
        fill(state[i][name], extent.begin, pieces, checkpoint);
        (pieces.empty() ? absent : present).push_back(key);
      }
      if (!absent.empty() && !present.empty())
        throw Error(ExitCode::bad_input,
                    message(checkpoint.folder(), ": holds ", present.front(), " but no ", absent.front()));
      fresh.insert(fresh.end(), absent.begin(), absent.end());
    }
  }
  return fresh;
}

}  // namespace interlock
