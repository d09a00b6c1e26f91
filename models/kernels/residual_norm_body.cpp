// The body of the end of a sublayer on a GPU: one kernel each way where rows fit it, else the operations it is made of.
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include <tuple>

#include "models/blocks/operations.h"
#include "models/kernels/launches.h"
#include "models/kernels/parts.h"
#include "models/kernels/threshold.h"

namespace interlock {
namespace {

using Tensors = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

kernels::Type type_of(const at::Tensor& x) {
  TORCH_CHECK(x.scalar_type() == at::kBFloat16 || x.scalar_type() == at::kFloat, "run.precision: a residual of ",
              x.scalar_type(), " does not run on a GPU; float32 and bf16 do");
  return x.scalar_type() == at::kBFloat16 ? kernels::Type::bfloat16 : kernels::Type::float32;
}

kernels::Draws draws_of(const at::Tensor& x, double rate, int64_t key, const at::Tensor& samples) {
  if (rate == 0) return {samples.const_data_ptr<int64_t>(), x.numel() / x.size(-1) / x.size(0), 0, 0, 1.0f};
  return {samples.const_data_ptr<int64_t>(), x.numel() / x.size(-1) / x.size(0), static_cast<uint64_t>(key),
          kernels::drop_threshold(rate), static_cast<float>(1 / (1 - rate))};
}

Tensors residual_norm(const at::Tensor& given_x, const at::Tensor& given_y, const at::Tensor& weight,
                      const at::Tensor& bias, double epsilon, double rate, int64_t key, const at::Tensor& samples) {
  const c10::cuda::CUDAGuard guard(given_x.device());
  const at::Tensor x = given_x.contiguous(), y = given_y.contiguous();
  const int64_t width = weight.size(0), rows = x.numel() / width;
  at::Tensor sum = at::empty_like(x), result = at::empty_like(x),
             mean = at::empty({rows}, weight.options().requires_grad(false)), inverse = at::empty_like(mean);
  kernels::residual_norm(x.const_data_ptr(), y.const_data_ptr(), type_of(x), weight.const_data_ptr<float>(),
                         bias.const_data_ptr<float>(), sum.mutable_data_ptr(), result.mutable_data_ptr(),
                         mean.mutable_data_ptr<float>(), inverse.mutable_data_ptr<float>(), rows, width,
                         static_cast<float>(epsilon), draws_of(x, rate, key, samples),
                         c10::cuda::getCurrentCUDAStream());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  return {std::move(result), std::move(sum), std::move(mean), std::move(inverse)};
}

Tensors residual_norm_backward(const at::Tensor& given, const at::Tensor& sum, const at::Tensor& mean,
                               const at::Tensor& inverse, const at::Tensor& weight, double rate, int64_t key,
                               const at::Tensor& samples) {
  const c10::cuda::CUDAGuard guard(given.device());
  const at::Tensor gradient = given.contiguous();
  const int64_t width = weight.size(0), rows = sum.numel() / width, parts = kernels::residual_norm_parts(rows);
  at::Tensor of_x = at::empty_like(sum), of_y = rate == 0 ? at::Tensor() : at::empty_like(sum),
             of_both = at::empty({parts, 2, width}, mean.options());
  kernels::residual_norm_backward(gradient.const_data_ptr(), sum.const_data_ptr(), type_of(sum),
                                  weight.const_data_ptr<float>(), mean.const_data_ptr<float>(),
                                  inverse.const_data_ptr<float>(), of_x.mutable_data_ptr(),
                                  of_y.defined() ? of_y.mutable_data_ptr() : nullptr, of_both.mutable_data_ptr<float>(),
                                  rows, width, draws_of(sum, rate, key, samples), c10::cuda::getCurrentCUDAStream());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  if (!of_y.defined()) of_y = of_x.alias();
  const at::Tensor sums = sum_of_parts(of_both);
  return {std::move(of_x), std::move(of_y), sums[0], sums[1]};
}

bool residual_norm_takes(const at::Tensor& x) {
  return kernels::residual_norm_takes(x.size(-1)) && x.scalar_type() != at::kDouble;
}

TORCH_LIBRARY_IMPL(interlock, CUDA, library) {
  library.impl("residual_norm", TORCH_FN(residual_norm));
  library.impl("residual_norm_backward", TORCH_FN(residual_norm_backward));
  library.impl("residual_norm_takes", TORCH_FN(residual_norm_takes));
}

}  // namespace
}  // namespace interlock
