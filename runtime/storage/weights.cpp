// Digests of weights, and where they lie.

#include "runtime/storage/weights.h"

#include <filesystem>

#include "runtime/core/error.h"
#include "runtime/storage/sha256.h"

namespace interlock {

namespace {

template <class Weights>
std::string tensor_digest(const Weights& weights, const TensorEntry& tensor) {
  Sha256 digest;
  digest.add(weights.bytes(tensor));
  return digest.hex();
}

template <class Weights>
std::string digest_of(const Weights& weights) {
  Sha256 digest;
  for (const TensorEntry& tensor : weights.tensors()) {
    std::string shape;
    for (const int64_t dimension : tensor.shape) shape += (shape.empty() ? "" : ",") + std::to_string(dimension);
    digest.add(message(tensor.name, " ", tensor.dtype, " [", shape, "] ", tensor_digest(weights, tensor), "\n"));
  }
  return digest.hex();
}

}  // namespace

std::string tensor_sha256(const SafetensorsFile& file, const TensorEntry& tensor) {
  return tensor_digest(file, tensor);
}
std::string tensor_sha256(const WeightsSet& weights, const TensorEntry& tensor) {
  return tensor_digest(weights, tensor);
}
std::string weights_digest(const SafetensorsFile& file) { return digest_of(file); }
std::string weights_digest(const WeightsSet& weights) { return digest_of(weights); }

std::string weights_path(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) {
    throw Error(ExitCode::bad_input, message("no weights file or run folder at ", path,
                                             fs::status_known(status) ? "" : ": " + error.message()));
  }
  if (!fs::is_directory(status)) return path;
  const fs::path inside = fs::path(path) / "weights.safetensors";
  if (!fs::exists(inside, error)) {
    throw Error(ExitCode::bad_input, message("the folder ", path,
                                             " holds no weights.safetensors: not a run folder, or its "
                                             "run has not written weights yet"));
  }
  return inside.string();
}

}  // namespace interlock
