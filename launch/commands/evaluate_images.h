#pragma once
// `interlock evaluate` of a model of images.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/storage/weights_set.h"

namespace interlock {

struct ImageEvaluation {
  std::shared_ptr<const WeightsSet> weights;
  std::vector<std::string> files;
  std::optional<int64_t> samples;  // at most so many
  bool json = false;
};

// Loss, top-1 and top-5 accuracy, for people and as JSON. Of several ranks the first does it.
int evaluate_images(const ImageEvaluation& asked);

}  // namespace interlock
