#pragma once
// Attention of all heads from the projected query, key and value, with and without dropout inside.

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "models/blocks/dropout.h"
#include "models/model.h"

namespace interlock {

// query, key, value and the result are [samples, length, width]; keys on padding (batch->lengths) are never looked at.
// `causal`: nor are those that stand behind the query, or in another document than it (batch->positions).
// Nothing dropped: the library's scaled_dot_product_attention, which keeps no table of probabilities.
at::Tensor plain_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, int64_t heads,
                           bool causal, const ForwardContext& context);

// Probabilities dropped at `rate` > 0 with the draws of `layer`. Keeps one table of probabilities, [samples, heads,
// length, length] in the type of the query.
at::Tensor dropped_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, int64_t heads,
                             bool causal, double rate, uint64_t layer, const ForwardContext& context);

// Samples that dropped_attention works on at a time, so that its tables beside the saved one stay small.
int64_t attention_chunk(int64_t heads, int64_t length);

}  // namespace interlock
