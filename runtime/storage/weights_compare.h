#pragma once
// Two sets of weights side by side: what only one has, and by how much the rest differs.

#include <string>
#include <vector>

#include "runtime/storage/safetensors.h"
#include "runtime/storage/weights_set.h"

namespace interlock {

struct WeightsDifference {
  // Largest |a - b| over all tensors of equal name and shape, and the first tensor, by name, it occurs in. Numbers of
  // different types are compared as numbers. NaN on either side counts as infinite. Negative when nothing was compared.
  double largest = -1;
  std::string name;
  std::vector<std::string> missing;     // names that only `other` has
  std::vector<std::string> unexpected;  // names that only `file` has
  struct Unlike {
    TensorEntry here, other;
  };
  std::vector<Unlike> unlike;  // shape or dtype differs
};

WeightsDifference compare_weights(const SafetensorsFile& file, const SafetensorsFile& other);
WeightsDifference compare_weights(const WeightsSet& weights, const WeightsSet& other);

}  // namespace interlock
