#pragma once
// Tensors of which a checkpoint holds pieces: where several processes own a tensor, each stores the run of elements
// that it owns under "<tensor>[begin:end]", elements in memory order, as a list of end - begin numbers. No other tensor
// has such a name: what stands before the bracket is a tensor already, and nothing can be registered below a tensor.

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/storage/checkpoint.h"

namespace interlock {

struct TensorPiece {
  const TensorEntry* entry = nullptr;  // of the checkpoint
  int64_t begin = 0, end = 0;          // elements [begin, end) of the whole tensor
};

std::string piece_name(const std::string& tensor, int64_t begin, int64_t end);

// What holds a tensor of this shape, ascending: the tensor itself, or pieces that cover every element once; empty when
// the checkpoint has neither. Error(bad_input) names the tensor and the elements that are missing or stand there twice,
// or the piece that cannot be one, or both shapes.
std::vector<TensorPiece> pieces_of(const Checkpoint& checkpoint, const std::string& tensor,
                                   const std::vector<int64_t>& shape);

}  // namespace interlock
