#pragma once
// The weights of a run as one file: rank 0 writes it, the other ranks of its replica send their tensors one by one, so
// that nobody holds the whole model.

#include <map>
#include <span>
#include <string>

#include "parallel/engine/rank_context.h"
#include "runtime/storage/safetensors.h"

namespace interlock {

// Called by every rank of replica 0 at the same point; returns when the file stands whole. `aliases`: see
// Model::aliases.
void write_weights(RankContext& context, const std::string& path,
                   const std::vector<std::pair<std::string, std::string>>& aliases,
                   const std::map<std::string, std::string>& metadata);

// A tensor of a file, viewed where it is mapped; `file` names it in Error(bad_input) for a type that weights do not
// have.
at::Tensor tensor_view(const TensorEntry& entry, std::span<const std::byte> bytes, const std::string& file);

// Names of safetensors for the dtypes that a run trains in.
std::string safetensors_dtype(at::ScalarType dtype);

}  // namespace interlock
