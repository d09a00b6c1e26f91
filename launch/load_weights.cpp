#include "launch/load_weights.h"

#include <ATen/ops/from_blob.h>
#include <c10/core/GradMode.h>

#include "runtime/core/error.h"
#include "runtime/core/nearest_name.h"

namespace interlock {
namespace {

std::string shape_text(const std::vector<int64_t>& shape) {
  std::vector<std::string> sizes;
  for (const int64_t size : shape) sizes.push_back(std::to_string(size));
  return "[" + join(sizes) + "]";
}

at::ScalarType dtype_of(const SafetensorsFile& file, const TensorEntry& entry) {
  if (entry.dtype == "F32") return at::kFloat;
  if (entry.dtype == "F64") return at::kDouble;
  if (entry.dtype == "F16") return at::kHalf;
  if (entry.dtype == "BF16") return at::kBFloat16;
  throw Error(ExitCode::bad_input, message(file.path(), ": tensor ", entry.name, " has type ", entry.dtype,
                                           "; weights are F32, F64, F16 or BF16"));
}

}  // namespace

void load_weights(torch::nn::Module& module, const SafetensorsFile& file) {
  c10::NoGradGuard no_graph;
  for (const auto& named : module.named_parameters()) {
    const TensorEntry* entry = file.find(named.key());
    if (entry == nullptr) throw Error(ExitCode::bad_input, message(file.path(), ": has no tensor ", named.key()));
    const std::vector<int64_t> wanted = named.value().sizes().vec();
    if (entry->shape != wanted)
      throw Error(ExitCode::bad_input, message(file.path(), ": tensor ", named.key(), " has shape ",
                                               shape_text(entry->shape), ", the model needs ", shape_text(wanted)));
    const auto bytes = file.bytes(*entry);
    // from_blob wants a mutable pointer; the map is only read.
    const at::Tensor stored =
        at::from_blob(const_cast<std::byte*>(bytes.data()), wanted, at::TensorOptions().dtype(dtype_of(file, *entry)));
    named.value().copy_(stored);
  }
}

std::vector<std::string> missing_weights(const torch::nn::Module& module, const SafetensorsFile& file) {
  std::vector<std::string> missing;
  for (const auto& named : module.named_parameters())
    if (file.find(named.key()) == nullptr) missing.push_back(named.key());
  return missing;
}

}  // namespace interlock
