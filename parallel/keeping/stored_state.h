#pragma once
// The tensors of a stage as a checkpoint holds them, both ways.

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "parallel/stage/stage.h"
#include "runtime/storage/checkpoint.h"

namespace interlock {

// A copy of `tensor` with the bytes of a file entry of this name.
CheckpointPart::Tensor stored_copy(const std::string& name, const at::Tensor& tensor);

// The weights of a stage, those with a second name under both (`aliases`: Model::aliases). What does not train and
// stands in `elsewhere` is left out.
std::vector<CheckpointPart::Tensor> copy_weights(Stage& stage,
                                                 const std::vector<std::pair<std::string, std::string>>& aliases,
                                                 const std::set<std::string>& elsewhere = {});

// Whether the optimizers' state of a stage is shared out over replicas.
bool is_sharded(const Stage& stage);
// What this replica stores of that state: of groups that are shared out what it owns, of others everything on the first
// replica and nothing elsewhere. A parameter that is cut has pieces (runtime/storage/tensor_pieces.h); a state without
// dimension, which all its owners have alike, is stored once, by the owner of its first element.
std::vector<CheckpointPart::Tensor> copy_optimizer_state(Stage& stage, int replica);

// Fills what this replica keeps of the state, whoever wrote it in whatever pieces; returns the parameters of which the
// checkpoint has none. Error(bad_input) names a tensor that is not whole, or of another shape.
std::vector<std::string> restore_optimizer_state(Stage& stage, const Checkpoint& checkpoint);
// A whole tensor of the checkpoint, viewed in the map; undefined when absent. Error(bad_input) names both shapes.
at::Tensor stored_tensor(const Checkpoint& checkpoint, const std::string& name, at::IntArrayRef shape);

}  // namespace interlock
