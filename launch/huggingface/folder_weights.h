#pragma once
// A Hugging Face folder as weights: WeightsSet::open takes one in every program that links this.

#include <string>

namespace interlock {

// Whether a folder holds config.json and weights of a whole model, readable here or not.
bool is_folder_model(const std::string& path);

}  // namespace interlock
