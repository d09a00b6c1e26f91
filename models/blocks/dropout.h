#pragma once
// Dropout whose masks are keyed: by (seed, step, layer, site, global sample, element within the sample), never by the
// microbatch. Where a tensor was dropped is remembered in one byte or one sign per element.

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "models/model.h"
#include "runtime/core/random.h"

namespace interlock {

enum class Site : uint64_t {
  attention_probabilities = 0,
  attention_output = 1,
  feed_forward = 2,
  embeddings = 3,
  readout_input = 4,
  readout_hidden = 5
};

// Site::attention_probabilities draws with its own purpose.
RandomKey dropout_key(uint64_t layer, Site site, const ForwardContext& context);

// x with elements dropped, the others times 1 / (1 - rate); x is [samples, ...] in the order of batch->sample_ids.
// Returns x itself when nothing is dropped (rate 0, or not training).
at::Tensor keyed_dropout(const at::Tensor& x, double rate, uint64_t layer, Site site, const ForwardContext& context);

// int64 [samples], where the batch is computed on: the numbers that key the draws.
at::Tensor sample_numbers(const Batch& batch, int64_t samples);

}  // namespace interlock
