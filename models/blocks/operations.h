#pragma once
// Operations of ours that have a body for each kind of device. They go through LibTorch's dispatcher, in the namespace
// `interlock`: the CPU's bodies stand beside what uses them, the CUDA module registers its own (models/kernels). None
// of them knows gradients: they are what autograd functions are made of.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <utility>

#include "runtime/core/random.h"

namespace interlock::operations {

// x W^T + bias over the last dimension of x; `bias` may be none. Rows of the result may lie further apart than they are
// long.
at::Tensor product(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias);
// sum := factor * rows^T x, or that added to it. rows [n, outputs] and x [n, inputs] of one type, sum [outputs, inputs]
// of theirs or wider.
void add_product_(at::Tensor& sum, const at::Tensor& rows, const at::Tensor& x, double factor, bool overwrite);
// sum [outputs] := factor * the sum of rows [n, outputs], or that added to it.
void add_row_sum_(at::Tensor& sum, const at::Tensor& rows, double factor, bool overwrite);
// sum[places[i]] += factor * rows[i] for all i in turn, but for those at `padding`. places int64, any shape; rows
// [..., width] of the type of sum.
void add_to_rows_(at::Tensor& sum, const at::Tensor& places, const at::Tensor& rows, double factor, int64_t padding);

// x [samples, ...] with elements dropped, the others times 1 / (1 - rate), and what backward takes to know them again
// (its meaning is the device's own). `samples` int64 [samples]: the numbers that key the draws.
std::pair<at::Tensor, at::Tensor> keyed_dropout(const at::Tensor& x, double rate, RandomKey key,
                                                const at::Tensor& samples);
at::Tensor keyed_dropout_backward(const at::Tensor& gradient, const at::Tensor& kept, double rate, RandomKey key,
                                  const at::Tensor& samples);
// Turns the sign of elements that are dropped: x is contiguous, [samples, ...], and nowhere negative.
void mark_dropped_(at::Tensor& x, double rate, RandomKey key, const at::Tensor& samples);

// Turns rows of logits [rows, classes] into rows of softmax - onehot, rows behind the last target into 0; returns the
// summed loss, without dimension, in float or double.
at::Tensor softmax_cross_entropy_(at::Tensor& logits, const at::Tensor& targets);
// tensor * factor (no dimension). `tensor` itself where the factor is 1; whoever calls has no more use for it.
at::Tensor times(const at::Tensor& tensor, const at::Tensor& factor);

// The layer norm of a device where LibTorch has none for x in bfloat16 and weights in float: over the last dimension,
// with the mean and 1 / deviation of every row in float (double for double).
struct Norm {
  at::Tensor result, mean, inverse_deviation;
};
Norm norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double epsilon);
struct NormGradients {
  at::Tensor input, weight, bias;
};
NormGradients norm_backward(const at::Tensor& gradient, const at::Tensor& x, const Norm& forward,
                            const at::Tensor& weight);

// The end of a sublayer: sum = x + y dropped at `rate` (0: none is), and its norm; for a device that has it in one.
struct ResidualNorm {
  at::Tensor result, sum, mean, inverse_deviation;
};
bool residual_norm_takes(const at::Tensor& x);  // whether the device has it for such rows
ResidualNorm residual_norm(const at::Tensor& x, const at::Tensor& y, const at::Tensor& weight, const at::Tensor& bias,
                           double epsilon, double rate, RandomKey key, const at::Tensor& samples);
struct ResidualNormGradients {
  at::Tensor x, y, weight, bias;
};
ResidualNormGradients residual_norm_backward(const at::Tensor& gradient, const ResidualNorm& forward,
                                             const at::Tensor& weight, double rate, RandomKey key,
                                             const at::Tensor& samples);

}  // namespace interlock::operations
