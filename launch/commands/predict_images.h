#pragma once
// `interlock predict` of a model of images, or of other samples that are numbers.

#include <memory>
#include <string>
#include <vector>

#include "runtime/storage/weights_set.h"

namespace interlock {

struct ImagePrediction {
  std::shared_ptr<const WeightsSet> weights;
  std::vector<std::string> files;  // as `evaluate --data` takes them; none: what the run held out
  std::string output;              // a file; "": stdout
  bool json = false;
};

// A line per image: the likeliest class, and the probability of each. How many are right goes to people.
int predict_images(const ImagePrediction& asked);

}  // namespace interlock
