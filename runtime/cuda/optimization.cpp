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

void run_squares_(const at::Tensor& numbers, const at::Tensor& runs, at::Tensor& out) {
  const c10::cuda::CUDAGuard guard(numbers.device());
  AT_DISPATCH_FLOATING_TYPES(numbers.scalar_type(), "run_squares", [&] {
    kernels::run_squares(numbers.const_data_ptr<scalar_t>(), runs.const_data_ptr<int64_t>(), runs.size(0),
                         out.mutable_data_ptr<double>(), c10::cuda::getCurrentCUDAStream());
  });
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

TORCH_LIBRARY_IMPL(interlock, CUDA, library) { library.impl("run_squares_", TORCH_FN(run_squares_)); }

}  // namespace
}  // namespace interlock
