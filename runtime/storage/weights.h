#pragma once
// The identity of a set of weights: a digest over global names, shapes, dtypes and bytes, the same for any cut or
// placement.

#include <map>
#include <string>
#include <vector>

#include "runtime/storage/safetensors.h"
#include "runtime/storage/weights_set.h"

namespace interlock {

// Per tensor the SHA-256 of its bytes; the overall digest is the SHA-256 over lines "name dtype [shape] sha\n", by
// name.
std::string tensor_sha256(const SafetensorsFile& file, const TensorEntry& tensor);
std::string weights_digest(const SafetensorsFile& file);
// The same of a set that may lie in several files: how it is spread changes nothing.
std::string tensor_sha256(const WeightsSet& weights, const TensorEntry& tensor);
std::string weights_digest(const WeightsSet& weights);

}  // namespace interlock
