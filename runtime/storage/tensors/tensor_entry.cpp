#include "runtime/storage/tensors/tensor_entry.h"

#include <ATen/ops/from_blob.h>

#include "runtime/core/error.h"

namespace interlock {

std::string safetensors_dtype(at::ScalarType dtype) {
  switch (dtype) {
    case at::kFloat:
      return "F32";
    case at::kDouble:
      return "F64";
    case at::kBFloat16:
      return "BF16";
    case at::kHalf:
      return "F16";
    default:
      throw Error(ExitCode::config, message("weights of type ", c10::toString(dtype), " cannot be written"));
  }
}

at::Tensor tensor_view(const TensorEntry& entry, std::span<const std::byte> bytes, const std::string& file) {
  for (const at::ScalarType type : {at::kFloat, at::kDouble, at::kBFloat16, at::kHalf})
    // from_blob wants a mutable pointer; the map is only read.
    if (entry.dtype == safetensors_dtype(type))
      return at::from_blob(const_cast<std::byte*>(bytes.data()), entry.shape, at::TensorOptions().dtype(type));
  throw Error(ExitCode::bad_input,
              message(file, ": tensor ", entry.name, " has type ", entry.dtype, "; weights are F32, F64, F16 or BF16"));
}

}  // namespace interlock
