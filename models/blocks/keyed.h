#pragma once
// Start values, keyed by (seed, global parameter name), and the numbers by which layers key their draws.
//
// Block i of the body draws with number i, whatever the slice. The embeddings draw with the number of block 0 and a
// site of their own. A block inside a head above n blocks has number head_layer(n), which no body reaches.

#include <torch/nn/module.h>

#include <cstdint>
#include <string>

namespace interlock {

inline uint64_t head_layer(int64_t blocks_below) { return (uint64_t{1} << 32) + static_cast<uint64_t>(blocks_below); }

// Start values of all parameters below `module`, which must carry global names: matrices N(0, deviation), norm weights
// 1, biases 0. `fan_in_gain` > 0 takes deviation sqrt(fan_in_gain / inputs) instead.
struct Initial {
  double deviation = 0.02;
  double fan_in_gain = 0;
};
void initialize(torch::nn::Module& module, uint64_t seed, const Initial& initial = {});
// The start values that a parameter of this name has.
void initialize_as(at::Tensor& values, const std::string& name, uint64_t seed, const Initial& initial = {});

}  // namespace interlock
