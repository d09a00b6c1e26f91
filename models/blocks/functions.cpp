// Owns the two custom autograd functions: linear layers and the summed cross-entropy.
#include "models/blocks/functions.h"

#include <ATen/Context.h>
#include <ATen/core/Reduction.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_softmax.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

namespace interlock {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

using OneDnnLinear = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                                std::string_view, c10::List<std::optional<at::Scalar>>,
                                std::optional<std::string_view>);

// oneDNN's product behind LibTorch's dispatcher; absent where LibTorch was built without it.
const std::optional<c10::TypedOperatorHandle<OneDnnLinear>>& one_dnn_linear() {
  static const auto found = []() -> std::optional<c10::TypedOperatorHandle<OneDnnLinear>> {
    const auto handle = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
    if (!handle || !at::globalContext().userEnabledMkldnn()) return std::nullopt;
    return handle->typed<OneDnnLinear>();
  }();
  return found;
}

// x W^T + bias without a graph. For products above about 16 million multiplications oneDNN is 6 % faster on AVX-512
// than the BLAS behind at::linear (112 against 105 GFLOP/s on one Zen 4 core); below, its set-up costs more than it
// saves.
at::Tensor product(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
  constexpr int64_t worth_it = int64_t{1} << 24;
  const bool large = x.numel() * weight.size(0) >= worth_it;
  if (large && x.scalar_type() == at::kFloat && x.is_cpu() && one_dnn_linear()) {
    return one_dnn_linear()->call(x, weight, bias, "none", c10::List<std::optional<at::Scalar>>(), "");
  }
  return at::linear(x, weight, bias);
}

// rows^T x in the type of the parameters. A product in bfloat16 is rounded once, a piece at a time, so that there is
// never a whole second copy of a large gradient.
at::Tensor weight_gradient(const at::Tensor& rows, const at::Tensor& x, at::ScalarType type) {
  if (rows.scalar_type() == type) return at::mm(rows.t(), x);
  constexpr int64_t piece_numbers = int64_t{1} << 17;
  const int64_t outputs = rows.size(1), piece = std::max<int64_t>(64, piece_numbers / x.size(1));
  at::Tensor gradient = at::empty({outputs, x.size(1)}, x.options().dtype(type));
  for (int64_t begin = 0; begin < outputs; begin += piece) {
    const int64_t count = std::min(piece, outputs - begin);
    gradient.narrow(0, begin, count).copy_(at::mm(rows.narrow(1, begin, count).t(), x));
  }
  return gradient;
}

// The sum of rows, in the type of the parameters. The library widens all of bfloat16 rows before it sums them; piece by
// piece that costs no memory to speak of.
at::Tensor bias_gradient(const at::Tensor& rows, at::ScalarType type) {
  if (rows.scalar_type() == type) return rows.sum(0);
  constexpr int64_t piece_numbers = int64_t{1} << 16;
  const int64_t outputs = rows.size(1),
                piece = std::max<int64_t>(64, piece_numbers / std::max<int64_t>(1, rows.size(0)));
  at::Tensor gradient = at::empty({outputs}, rows.options().dtype(type));
  for (int64_t begin = 0; begin < outputs; begin += piece) {
    const int64_t count = std::min(piece, outputs - begin);
    gradient.narrow(0, begin, count).copy_(rows.narrow(1, begin, count).sum(0, false, type));
  }
  return gradient;
}

struct LinearFunction : torch::autograd::Function<LinearFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias) {
    // The input is needed for the gradient of the weights alone; a read-only copy of weights has none.
    context->save_for_backward({weight.requires_grad() ? x : at::Tensor(), weight});
    context->saved_data["bias"] = bias.has_value();
    const at::ScalarType type = x.scalar_type();
    return product(x, weight.to(type), bias ? std::optional(bias->to(type)) : std::nullopt);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const auto& [x, weight] = std::tie(saved[0], saved[1]);
    const at::Tensor& gradient = gradients[0];
    const at::ScalarType type = weight.scalar_type();
    const at::Tensor rows = gradient.reshape({-1, weight.size(0)});
    variable_list result(3);
    if (context->needs_input_grad(0))
      result[0] = product(gradient, weight.to(gradient.scalar_type()).t(), std::nullopt);
    if (context->needs_input_grad(1)) result[1] = weight_gradient(rows, x.reshape({-1, weight.size(1)}), type);
    if (context->saved_data["bias"].toBool() && context->needs_input_grad(2)) result[2] = bias_gradient(rows, type);
    return result;
  }
};

// Turns rows of logits into rows of softmax - onehot, block by block so that a block is still in the cache (512 KiB)
// when its next pass begins. Returns the summed loss. A row's loss is log(sum exp(x - max)) + max - x[target], and the
// largest probability is 1 / sum exp(x - max): so softmax alone, half the time of log_softmax and exp, gives both
// without overflow. A block of bfloat16 is widened for that and rounded once, when it is written back.
at::Tensor logits_to_gradient(at::Tensor& logits, const at::Tensor& targets) {
  const bool narrow = logits.scalar_type() == at::kBFloat16;
  const at::ScalarType type = narrow ? at::kFloat : logits.scalar_type();
  const int64_t rows = targets.size(0), row_bytes = logits.size(1) * static_cast<int64_t>(c10::elementSize(type));
  const int64_t block = std::max<int64_t>(1, (512 * 1024) / row_bytes);
  const at::Tensor columns = targets.unsqueeze(1);
  at::Tensor losses = at::empty({rows, 1}, logits.options().dtype(type));
  for (int64_t begin = 0; begin < rows; begin += block) {
    const int64_t count = std::min(block, rows - begin);
    at::Tensor given = logits.narrow(0, begin, count);
    at::Tensor part = given.to(type);  // itself where it is wide
    const at::Tensor target = columns.narrow(0, begin, count);
    const at::Tensor above_target = part.amax(1, true) - part.gather(1, target);
    at::_softmax_out(part, part, 1, false);
    losses.narrow(0, begin, count).copy_(above_target - part.amax(1, true).log());
    part.scatter_add_(1, target, at::full({count, 1}, -1.0, part.options()));
    if (narrow) given.copy_(part);
  }
  logits.narrow(0, rows, logits.size(0) - rows).zero_();
  return losses.sum();
}

struct CrossEntropySum : torch::autograd::Function<CrossEntropySum> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& logits, const at::Tensor& targets) {
    at::Tensor gradient = logits.detach();
    const at::Tensor sum = logits_to_gradient(gradient, targets);
    context->save_for_backward({gradient});
    return sum;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const at::Tensor saved = context->get_saved_variables()[0];
    // The usual incoming gradient is 1: then nothing is copied. A multiple needs a buffer, for the saved one may be
    // used again.
    const double factor = gradients[0].item<double>();
    return {factor == 1.0 ? saved : saved * factor, at::Tensor()};
  }
};

}  // namespace

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return LinearFunction::apply(x, weight, bias.defined() ? std::optional(bias) : std::nullopt);
}

at::Tensor cross_entropy_sum(at::Tensor logits, const at::Tensor& targets) {
  if (at::GradMode::is_enabled() && logits.requires_grad()) return CrossEntropySum::apply(logits, targets);
  const at::Tensor with_target = logits.narrow(0, 0, targets.size(0));
  const bool narrow = logits.scalar_type() == at::kBFloat16;
  return at::cross_entropy_loss(narrow ? with_target.to(at::kFloat) : with_target, targets, {}, at::Reduction::Sum);
}

}  // namespace interlock
