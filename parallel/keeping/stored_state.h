#pragma once
// The tensors of a stage as a checkpoint holds them, both ways.

#include <string>
#include <utility>
#include <vector>

#include "parallel/keeping/readout_copies.h"
#include "parallel/stage/stage.h"
#include "parallel/transport/group.h"
#include "runtime/storage/checkpoint.h"

namespace interlock {

// A copy of `tensor` with the bytes of a file entry of this name.
CheckpointPart::Tensor stored_copy(const std::string& name, const at::Tensor& tensor);

// The weights of a stage, those with a second name under both (`aliases`: Model::aliases), and its optimizers' state.
// Where the state is shared out over `replicas`, all of them call
// this and the first gets the whole; elsewhere the list is empty.
std::vector<CheckpointPart::Tensor> copy_weights(Stage& stage,
                                                 const std::vector<std::pair<std::string, std::string>>& aliases);
std::vector<CheckpointPart::Tensor> copy_optimizer_state(Stage& stage, Group& replicas);

// Fills what this replica keeps of the state; returns the parameters of which the checkpoint has none. Error(bad_input)
// names the tensor and both shapes.
std::vector<std::string> restore_optimizer_state(Stage& stage, const Checkpoint& checkpoint);
// A tensor of the checkpoint, viewed in the map; undefined when absent.
at::Tensor stored_tensor(const Checkpoint& checkpoint, const std::string& name);

}  // namespace interlock
