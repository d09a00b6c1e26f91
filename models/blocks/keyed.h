#pragma once
// Start values, keyed by (seed, global parameter name), and the numbers by which layers key their draws.
//
// Block i of the body draws with number i, whatever the slice. The embeddings draw with the number of block 0 and a
// site of their own. A block inside a head has the number of the head's place, which no body reaches.

#include <torch/nn/module.h>

#include <cstdint>
#include <string>

namespace interlock {

// Where a head stands, however the model is cut: above whole blocks, and maybe above the attention part of the next.
struct HeadPlace {
  int64_t blocks_below = 0;
  bool above_attention = false;

  // heads.3, and with the attention part of block 3 below it heads.3_attention.
  std::string path() const { return "heads." + std::to_string(blocks_below) + (above_attention ? "_attention" : ""); }
  uint64_t layer() const { return (uint64_t{above_attention ? 2U : 1U} << 32) + static_cast<uint64_t>(blocks_below); }
};

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
