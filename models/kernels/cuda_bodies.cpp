// The bodies of our operations on a GPU: what tensors they are, and the launches (launches.h).
#include <ATen/core/Tensor.h>
#include <ATen/cuda/CUDAContext.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/sort.h>
#include <ATen/ops/where.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include <tuple>

#include "models/kernels/launches.h"
#include "models/kernels/parts.h"
#include "models/kernels/threshold.h"

namespace interlock {
namespace {

using c10::cuda::CUDAGuard;

cudaStream_t stream_here() { return c10::cuda::getCurrentCUDAStream(); }

kernels::Type type_of(const at::Tensor& tensor, const char* operation) {
  if (tensor.scalar_type() == at::kBFloat16) return kernels::Type::bfloat16;
  TORCH_CHECK(tensor.scalar_type() == at::kFloat, "run.precision: ", operation, " of ", tensor.scalar_type(),
              " does not run on a GPU; float32 and bf16 do");
  return kernels::Type::float32;
}

// ---- Products

// cuBLAS has fast kernels for sizes and rows of multiples of 16 bytes. A decoder with an odd number of classes in
// bfloat16 has a seventh of their rate otherwise (H200, 50,265 classes: 4.7 ms for 0.6). So most classes make one
// product, those behind the last multiple of `unit` another, and rows of scores get room up to the next.
constexpr int64_t unit = 64, aligned = 8;  // numbers

at::Tensor product_of_odd_outputs(const at::Tensor& x, const at::Tensor& weight,
                                  const std::optional<at::Tensor>& bias) {
  const int64_t outputs = weight.size(0), most = outputs / unit * unit;
  const at::Tensor result = at::empty({x.size(0), most + unit}, x.options()).narrow(1, 0, outputs);
  const auto make = [&](int64_t begin, int64_t count) {
    at::Tensor part = result.narrow(1, begin, count);
    const at::Tensor columns = weight.narrow(0, begin, count).t();
    if (bias) {
      at::addmm_out(part, bias->narrow(0, begin, count), x, columns);
    } else {
      at::mm_out(part, x, columns);
    }
  };
  make(0, most);
  make(most, outputs - most);
  return result;
}

at::Tensor product_of_odd_inputs(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
  const int64_t inputs = weight.size(1), most = inputs / unit * unit;
  at::Tensor result = at::linear(x.narrow(1, 0, most), weight.narrow(1, 0, most), bias);
  at::addmm_out(result, result, x.narrow(1, most, inputs - most), weight.narrow(1, most, inputs - most).t());
  return result;
}

at::Tensor product(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
  const CUDAGuard guard(x.device());
  if (x.scalar_type() == at::kBFloat16 && x.dim() == 2) {
    if (weight.size(0) % aligned != 0 && weight.size(0) > unit) return product_of_odd_outputs(x, weight, bias);
    if (weight.size(1) % aligned != 0 && weight.size(1) > unit) return product_of_odd_inputs(x, weight, bias);
  }
  return at::linear(x, weight, bias);
}

// Row-major sum [outputs, inputs] is column-major [inputs, outputs]: x^T rows there.
void add_wide_product(const at::Tensor& sum, const at::Tensor& rows, const at::Tensor& x, double factor,
                      bool overwrite) {
  const auto outputs = static_cast<int>(rows.size(1)), inputs = static_cast<int>(x.size(1));
  const auto count = static_cast<int>(rows.size(0));
  const auto alpha = static_cast<float>(factor), beta = overwrite ? 0.0f : 1.0f;
  const cublasStatus_t status =
      cublasGemmEx(at::cuda::getCurrentCUDABlasHandle(), CUBLAS_OP_N, CUBLAS_OP_T, inputs, outputs, count, &alpha,
                   x.const_data_ptr(), CUDA_R_16BF, static_cast<int>(x.stride(0)), rows.const_data_ptr(), CUDA_R_16BF,
                   static_cast<int>(rows.stride(0)), &beta, sum.mutable_data_ptr(), CUDA_R_32F, inputs,
                   CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
  TORCH_CHECK(status == CUBLAS_STATUS_SUCCESS, "cuBLAS cannot make a weight gradient of [", outputs, ", ", inputs,
              "]: ", cublasGetStatusString(status));
}

bool is_row_major(const at::Tensor& matrix) { return matrix.stride(1) == 1 && matrix.stride(0) >= matrix.size(1); }

void add_product(at::Tensor& sum, const at::Tensor& rows, const at::Tensor& x, double factor, bool overwrite) {
  const CUDAGuard guard(sum.device());
  if (rows.size(0) == 0) {
    if (overwrite) sum.zero_();
    return;
  }
  if (rows.scalar_type() == sum.scalar_type()) {
    at::addmm_out(sum, sum, rows.t(), x, overwrite ? 0 : 1, factor);
    return;
  }
  add_wide_product(sum, is_row_major(rows) ? rows : rows.contiguous(), is_row_major(x) ? x : x.contiguous(), factor,
                   overwrite);
}

constexpr int64_t rows_of_part = 256;

void add_row_sum(at::Tensor& sum, const at::Tensor& given, double factor, bool overwrite) {
  const CUDAGuard guard(sum.device());
  TORCH_CHECK(sum.scalar_type() == at::kFloat && sum.is_contiguous(), "run.precision: a bias gradient of ",
              sum.scalar_type(), " does not run on a GPU; float32 and bf16 do");
  const at::Tensor rows = is_row_major(given) ? given : given.contiguous();
  const int64_t width = rows.size(1), count = (rows.size(0) + rows_of_part - 1) / rows_of_part;
  const at::Tensor parts = at::empty({count, width}, sum.options());
  kernels::row_sums(rows.const_data_ptr(), type_of(rows, "a bias gradient"), parts.mutable_data_ptr<float>(),
                    rows.size(0), width, rows.stride(0), rows_of_part, stream_here());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  kernels::add_parts(parts.const_data_ptr<float>(), count, width, sum.mutable_data_ptr<float>(),
                     static_cast<float>(factor), overwrite, stream_here());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

// Equal places stand together in a stable order, so that each row is added up as on the CPU.
void add_to_rows(at::Tensor& sum, const at::Tensor& places, const at::Tensor& given, double factor, int64_t padding) {
  const CUDAGuard guard(sum.device());
  TORCH_CHECK(sum.scalar_type() == at::kFloat, "run.precision: the gradient of a table of ", sum.scalar_type(),
              " does not run on a GPU; float32 and bf16 do");
  const at::Tensor rows = given.to(at::kFloat).contiguous();
  const auto [ascending, order] = at::sort(places.reshape({-1}), /*stable=*/true, /*dim=*/0, /*descending=*/false);
  kernels::add_to_rows(sum.mutable_data_ptr<float>(), ascending.const_data_ptr<int64_t>(),
                       order.const_data_ptr<int64_t>(), rows.const_data_ptr<float>(), ascending.numel(), sum.size(1),
                       static_cast<float>(factor), padding, stream_here());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

// ---- Dropout: nothing is kept, the draws are made again

at::Tensor dropped(const at::Tensor& given, double rate, int64_t key, const at::Tensor& samples) {
  const CUDAGuard guard(given.device());
  const at::Tensor x = given.contiguous();
  at::Tensor out = at::empty_like(x);
  kernels::drop(x.const_data_ptr(), out.mutable_data_ptr(), type_of(x, "dropout"), x.size(0), x.numel() / x.size(0),
                samples.const_data_ptr<int64_t>(), static_cast<uint64_t>(key), kernels::drop_threshold(rate),
                static_cast<float>(1 / (1 - rate)), stream_here());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  return out;
}

std::tuple<at::Tensor, at::Tensor> keyed_dropout(const at::Tensor& x, double rate, int64_t key,
                                                 const at::Tensor& samples) {
  return {dropped(x, rate, key, samples), at::empty({0}, x.options().dtype(at::kByte))};
}

at::Tensor keyed_dropout_backward(const at::Tensor& gradient, const at::Tensor&, double rate, int64_t key,
                                  const at::Tensor& samples) {
  return dropped(gradient, rate, key, samples);
}

void mark_dropped(at::Tensor& x, double rate, int64_t key, const at::Tensor& samples) {
  const CUDAGuard guard(x.device());
  TORCH_CHECK(x.is_contiguous(), "a table of probabilities must be contiguous");
  kernels::mark_dropped(x.mutable_data_ptr(), type_of(x, "attention dropout"), x.size(0), x.numel() / x.size(0),
                        samples.const_data_ptr<int64_t>(), static_cast<uint64_t>(key), kernels::drop_threshold(rate),
                        stream_here());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

// ---- Loss

at::Tensor softmax_cross_entropy(at::Tensor& logits, const at::Tensor& targets) {
  const CUDAGuard guard(logits.device());
  TORCH_CHECK(logits.stride(1) == 1, "rows of logits must lie together");
  at::Tensor losses = at::empty({targets.size(0)}, logits.options().dtype(at::kFloat));
  const at::Tensor wanted = targets.contiguous();
  kernels::cross_entropy(logits.mutable_data_ptr(), type_of(logits, "cross-entropy"), logits.size(0), wanted.size(0),
                         logits.size(1), logits.stride(0), wanted.const_data_ptr<int64_t>(),
                         losses.mutable_data_ptr<float>(), stream_here());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  return losses.sum();
}

// Who asks for gradients of a loss asks with 1 (Stage does), and a look at the number would wait: any other is paid for
// by a multiplication of what is there, which is nobody else's.
at::Tensor times(const at::Tensor& tensor, const at::Tensor& factor) {
  const CUDAGuard guard(tensor.device());
  const at::Tensor number = factor.to(at::kFloat);
  TORCH_CHECK(tensor.dim() == 2 && is_row_major(tensor), "a gradient of scores must be rows");
  // What lies between rows is scaled too: nobody reads it.
  kernels::scale(tensor.mutable_data_ptr(), type_of(tensor, "a loss"),
                 tensor.size(0) == 0 ? 0 : (tensor.size(0) - 1) * tensor.stride(0) + tensor.size(1),
                 number.const_data_ptr<float>(), stream_here());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  return tensor;
}

// ---- Norm

std::tuple<at::Tensor, at::Tensor, at::Tensor> norm(const at::Tensor& given, const at::Tensor& weight,
                                                    const at::Tensor& bias, double epsilon) {
  const CUDAGuard guard(given.device());
  const at::Tensor x = given.contiguous();
  const int64_t width = weight.size(0), rows = x.numel() / width;
  TORCH_CHECK(weight.scalar_type() == at::kFloat, "run.precision: norms of ", weight.scalar_type(),
              " do not run on a GPU; float32 and bf16 do");
  at::Tensor result = at::empty_like(x), mean = at::empty({rows}, weight.options().requires_grad(false)),
             inverse = at::empty_like(mean);
  kernels::norm(x.const_data_ptr(), type_of(x, "a norm"), weight.const_data_ptr<float>(), bias.const_data_ptr<float>(),
                result.mutable_data_ptr(), mean.mutable_data_ptr<float>(), inverse.mutable_data_ptr<float>(), rows,
                width, static_cast<float>(epsilon), stream_here());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  return {std::move(result), std::move(mean), std::move(inverse)};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> norm_backward(const at::Tensor& given, const at::Tensor& x,
                                                             const at::Tensor& mean, const at::Tensor& inverse,
                                                             const at::Tensor& weight) {
  const CUDAGuard guard(given.device());
  const at::Tensor gradient = given.contiguous();
  const int64_t width = weight.size(0), rows = x.numel() / width, parts = (rows + rows_of_part - 1) / rows_of_part;
  at::Tensor of_x = at::empty_like(x), of_both = at::empty({parts, 2, width}, mean.options());
  const kernels::Type type = type_of(x, "a norm");
  kernels::norm_input_gradient(gradient.const_data_ptr(), x.const_data_ptr(), type, weight.const_data_ptr<float>(),
                               mean.const_data_ptr<float>(), inverse.const_data_ptr<float>(), of_x.mutable_data_ptr(),
                               rows, width, stream_here());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  kernels::norm_weight_gradient(gradient.const_data_ptr(), x.const_data_ptr(), type, mean.const_data_ptr<float>(),
                                inverse.const_data_ptr<float>(), of_both.mutable_data_ptr<float>(), rows, width,
                                rows_of_part, stream_here());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  const at::Tensor sums = sum_of_parts(of_both);
  return {std::move(of_x), sums[0], sums[1]};
}

TORCH_LIBRARY_IMPL(interlock, CUDA, library) {
  library.impl("product", TORCH_FN(product));
  library.impl("add_product_", TORCH_FN(add_product));
  library.impl("add_row_sum_", TORCH_FN(add_row_sum));
  library.impl("add_to_rows_", TORCH_FN(add_to_rows));
  library.impl("keyed_dropout", TORCH_FN(keyed_dropout));
  library.impl("keyed_dropout_backward", TORCH_FN(keyed_dropout_backward));
  library.impl("mark_dropped_", TORCH_FN(mark_dropped));
  library.impl("softmax_cross_entropy_", TORCH_FN(softmax_cross_entropy));
  library.impl("times", TORCH_FN(times));
  library.impl("norm", TORCH_FN(norm));
  library.impl("norm_backward", TORCH_FN(norm_backward));
}

}  // namespace
}  // namespace interlock
