#pragma once
// Causal attention of new tokens over what a cache holds of their texts.

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "models/key_value_cache.h"

namespace interlock {

// query, key, value of the new tokens, and the result, are [samples, new, width]. Keys and values join the cache under
// `layer`. Nothing is dropped.
at::Tensor cached_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, int64_t heads,
                            uint64_t layer, KeyValueCache& cache);

}  // namespace interlock
