#pragma once
// The weights of a run as one file: rank 0 writes it, the other ranks of its replica send their tensors one by one, so
// that nobody holds the whole model.

#include <map>
#include <string>

#include "parallel/engine/rank_context.h"
#include "runtime/storage/safetensors.h"
#include "runtime/storage/tensors/tensor_entry.h"

namespace interlock {

// Called by every rank of replica 0 at the same point; returns when the file stands whole. `aliases`: see
// Model::aliases.
void write_weights(RankContext& context, const std::string& path,
                   const std::vector<std::pair<std::string, std::string>>& aliases,
                   const std::map<std::string, std::string>& metadata);

}  // namespace interlock
