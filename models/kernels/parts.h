#pragma once
// Sums that kernels leave in parts, as tensors. Internal to this room.

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>

#include "models/kernels/launches.h"

namespace interlock {

// parts [count, ...] of float, added up in one order: [...].
inline at::Tensor sum_of_parts(const at::Tensor& parts) {
  at::Tensor sum = at::empty(parts.sizes().slice(1), parts.options());
  kernels::add_parts(parts.const_data_ptr<float>(), parts.size(0), sum.numel(), sum.mutable_data_ptr<float>(), 1.0f,
                     /*overwrite=*/true, c10::cuda::getCurrentCUDAStream());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  return sum;
}

}  // namespace interlock
