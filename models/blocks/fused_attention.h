#pragma once
// LibTorch's fused attention of a GPU with dropout inside: it keeps no table of probabilities. Its draws are its own,
// seeded by our key: the same for every placement, schedule and recomputation on one kind of device, but others than
// the CPU's, and others where the same samples come in another microbatch.

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "runtime/core/random.h"
#include "runtime/data/batch.h"

namespace interlock {

// Whether it can take this: a GPU, bfloat16, nothing padded, a width of heads that is a multiple of 8 up to 256.
bool fits_fused_attention(const at::Tensor& query, int64_t heads, const at::Tensor& lengths);

// query, key, value and the result are [samples, length, width]; 0 < rate < 1. `causal`: no place looks behind itself.
at::Tensor fused_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, int64_t heads,
                           bool causal, double rate, RandomKey draws);

// A key of its own for every microbatch, by its first sample: the kernel counts samples from 0 in each.
RandomKey of_microbatch(RandomKey draws, const Batch& batch);

}  // namespace interlock
