#pragma once
// Weights from a file into modules, by global name.

#include <torch/nn/module.h>

#include <string>
#include <vector>

#include "runtime/storage/safetensors.h"

namespace interlock {

// Fills every parameter of `module` from the tensor of its name. Error(bad_input) names the file, the tensor, and what
// differs (missing, shape, dtype). float32 files load into float64 parameters and the other way round.
void load_weights(torch::nn::Module& module, const SafetensorsFile& file);
// The parameters of `module` that the file lacks.
std::vector<std::string> missing_weights(const torch::nn::Module& module, const SafetensorsFile& file);

}  // namespace interlock
