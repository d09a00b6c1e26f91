// Digests of weights.

#include "runtime/storage/weights.h"

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

}  // namespace interlock
