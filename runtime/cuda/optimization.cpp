// The bodies of the optimizers' operations on a GPU.
#include <ATen/Dispatch.h>
#include <ATen/core/Tensor.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include "runtime/cuda/squares.h"

namespace interlock {
namespace {

void block_squares_(const at::Tensor& numbers, int64_t block, at::Tensor& out) {
  const c10::cuda::CUDAGuard guard(numbers.device());
  AT_DISPATCH_FLOATING_TYPES(numbers.scalar_type(), "block_squares", [&] {
    kernels::block_squares(numbers.const_data_ptr<scalar_t>(), numbers.numel(), block, out.mutable_data_ptr<double>(),
                           c10::cuda::getCurrentCUDAStream());
  });
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

TORCH_LIBRARY_IMPL(interlock, CUDA, library) { library.impl("block_squares_", TORCH_FN(block_squares_)); }

}  // namespace
}  // namespace interlock
