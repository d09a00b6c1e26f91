#pragma once
// Between tensors and entries of safetensors files.

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <span>
#include <string>

#include "runtime/storage/safetensors.h"

namespace interlock {

// A tensor of a file, viewed where it is mapped; `file` names it in Error(bad_input) for a type that weights do not
// have.
at::Tensor tensor_view(const TensorEntry& entry, std::span<const std::byte> bytes, const std::string& file);

// Names of safetensors for the dtypes that a run trains in.
std::string safetensors_dtype(at::ScalarType dtype);

}  // namespace interlock
