#pragma once
// Start values of image networks as torchvision's ResNet has them, keyed by (seed, global name).

#include <torch/nn/module.h>

#include <cstdint>

namespace interlock {

// Kernels N(0, 2 / (outputs x kernel x kernel)) (He et al., 2015, by the outgoing side); matrices, and biases beside a
// kernel or matrix, uniform within 1 / sqrt(inputs of an output), as torch.nn has them; norms 1 and 0.
void initialize_image_network(torch::nn::Module& module, uint64_t seed);

}  // namespace interlock
