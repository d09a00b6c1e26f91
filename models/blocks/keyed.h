#pragma once
// Random draws of models, all keyed (runtime/core/random.h): dropout by (seed, step, layer, site, global sample,
// element) and start values by (seed, global parameter name).
//
// Layers: block i of the body has number i, whatever the slice. The embeddings draw with the number of block 0 and a
// site of their own. A block inside a head above n blocks has number head_layer(n), which no body reaches.

#include <torch/nn/module.h>

#include <cstdint>

#include "models/model.h"

namespace interlock {

enum class Site : uint64_t { attention_probabilities = 0, attention_output = 1, feed_forward = 2, embeddings = 3 };

inline uint64_t head_layer(int64_t blocks_below) { return (uint64_t{1} << 32) + static_cast<uint64_t>(blocks_below); }

// x times a mask of zeros and 1 / (1 - rate); x is [samples, ...] in the order of batch->sample_ids. Returns x itself
// when nothing is dropped (rate 0, or not training). Site::attention_probabilities draws with its own purpose.
at::Tensor keyed_dropout(const at::Tensor& x, double rate, uint64_t layer, Site site, const ForwardContext& context);

// Start values of all parameters below `module`, which must carry global names: matrices N(0, deviation), norm weights
// 1, biases 0. `fan_in_gain` > 0 takes deviation sqrt(fan_in_gain / inputs) instead.
struct Initial {
  double deviation = 0.02;
  double fan_in_gain = 0;
};
void initialize(torch::nn::Module& module, uint64_t seed, const Initial& initial = {});

}  // namespace interlock
