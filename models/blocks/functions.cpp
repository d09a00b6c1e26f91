// Owns the custom autograd functions: linear layers, embeddings and the summed cross-entropy.
#include "models/blocks/functions.h"

#include <ATen/Context.h>
#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/core/Reduction.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_softmax.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>

#include "models/blocks/handover.h"
#include "models/blocks/operations.h"

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
at::Tensor product_on_cpu(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
  constexpr int64_t worth_it = int64_t{1} << 24;
  const bool large = x.numel() * weight.size(0) >= worth_it;
  if (large && x.scalar_type() == at::kFloat && one_dnn_linear()) {
    return one_dnn_linear()->call(x, weight, bias, "none", c10::List<std::optional<at::Scalar>>(), "");
  }
  return at::linear(x, weight, bias);
}

// Adds factor * rows^T x to `sum` [outputs, inputs]. A product in bfloat16 is rounded once, a piece at a time, so that
// there is never a whole second copy of a large gradient.
void add_product(at::Tensor& sum, const at::Tensor& rows, const at::Tensor& x, double factor, bool overwrite) {
  if (rows.scalar_type() == sum.scalar_type()) {
    at::addmm_out(sum, sum, rows.t(), x, overwrite ? 0 : 1, factor);
    return;
  }
  constexpr int64_t piece_numbers = int64_t{1} << 17;
  const int64_t outputs = rows.size(1), piece = std::max<int64_t>(64, piece_numbers / x.size(1));
  for (int64_t begin = 0; begin < outputs; begin += piece) {
    const int64_t count = std::min(piece, outputs - begin);
    add_scaled(sum.narrow(0, begin, count), factor, overwrite, at::mm(rows.narrow(1, begin, count).t(), x));
  }
}

// Adds factor * the sum of rows to `sum` [outputs]. The library widens all of bfloat16 rows before it sums them; piece
// by piece that costs no memory to speak of.
void add_row_sum(at::Tensor& sum, const at::Tensor& rows, double factor, bool overwrite) {
  const at::ScalarType type = sum.scalar_type();
  if (rows.scalar_type() == type) return add_scaled(sum, factor, overwrite, rows.sum(0));
  constexpr int64_t piece_numbers = int64_t{1} << 16;
  const int64_t outputs = rows.size(1),
                piece = std::max<int64_t>(64, piece_numbers / std::max<int64_t>(1, rows.size(0)));
  for (int64_t begin = 0; begin < outputs; begin += piece) {
    const int64_t count = std::min(piece, outputs - begin);
    add_scaled(sum.narrow(0, begin, count), factor, overwrite, rows.narrow(1, begin, count).sum(0, false, type));
  }
}

struct LinearFunction : torch::autograd::Function<LinearFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias, ParameterAccess* parameters) {
    // The input is needed for the gradient of the weights alone; a read-only copy of weights has none.
    context->save_for_backward({weight.requires_grad() ? x : at::Tensor(), weight, bias.value_or(at::Tensor())});
    context->saved_data["parameters"] = as_number(parameters);
    const at::ScalarType type = x.scalar_type();
    return operations::product(x, in_type(parameters, weight, type),
                               bias ? std::optional(in_type(parameters, *bias, type)) : std::nullopt);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const auto& [x, weight, bias] = std::tie(saved[0], saved[1], saved[2]);
    const at::Tensor& gradient = gradients[0];
    ParameterAccess* parameters = parameters_of(context);
    const at::Tensor rows = gradient.reshape({-1, weight.size(0)});
    variable_list result(4);
    if (context->needs_input_grad(0))
      result[0] = operations::product(gradient, in_type(parameters, weight, gradient.scalar_type()).t(), std::nullopt);
    if (context->needs_input_grad(1)) {
      const at::Tensor inputs = x.reshape({-1, weight.size(1)});
      result[1] = hand_over(parameters, weight, [rows, inputs](at::Tensor& sum, double factor, bool overwrite) {
        operations::add_product_(sum, rows, inputs, factor, overwrite);
      });
    }
    if (bias.defined() && context->needs_input_grad(2))
      result[2] = hand_over(parameters, bias, [rows](at::Tensor& sum, double factor, bool overwrite) {
        operations::add_row_sum_(sum, rows, factor, overwrite);
      });
    return result;
  }
};

// Adds factor * rows[i] to sum[indices[i]] for all i in turn. Threads share the columns, so that each number is added
// up in the order of the indices however many there are.
void add_to_rows(at::Tensor& sum, const at::Tensor& indices, const at::Tensor& rows, double factor, int64_t padding) {
  const int64_t width = sum.size(1), count = indices.numel();
  const int64_t* places = indices.const_data_ptr<int64_t>();
  AT_DISPATCH_FLOATING_TYPES(sum.scalar_type(), "embedding_backward", [&] {
    scalar_t* table = sum.mutable_data_ptr<scalar_t>();
    const scalar_t* from = rows.const_data_ptr<scalar_t>();
    const auto scale = static_cast<scalar_t>(factor);
    constexpr int64_t columns_worth_a_thread = 64;
    at::parallel_for(0, width, columns_worth_a_thread, [&](int64_t begin, int64_t end) {
      for (int64_t i = 0; i < count; ++i) {
        if (places[i] == padding) continue;
        scalar_t* to = table + places[i] * width;
        const scalar_t* row = from + i * width;
        for (int64_t column = begin; column < end; ++column) to[column] += scale * row[column];
      }
    });
  });
}

struct EmbeddingFunction : torch::autograd::Function<EmbeddingFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& table, const at::Tensor& indices,
                            int64_t padding, ParameterAccess* parameters) {
    context->save_for_backward({table, indices});
    context->saved_data["padding"] = padding;
    context->saved_data["parameters"] = as_number(parameters);
    return at::embedding(table, indices);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const auto& [table, indices] = std::tie(saved[0], saved[1]);
    const int64_t padding = context->saved_data["padding"].toInt();
    const at::Tensor places = indices.contiguous(), rows = gradients[0].contiguous();
    variable_list result(4);
    result[0] = hand_over(parameters_of(context), table,
                          [places, rows, padding](at::Tensor& sum, double factor, bool overwrite) {
                            if (overwrite) sum.zero_();
                            operations::add_to_rows_(sum, places, rows, factor, padding);
                          });
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
    const at::Tensor sum = operations::softmax_cross_entropy_(gradient, targets);
    context->save_for_backward({gradient});
    return sum;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const at::Tensor saved = context->get_saved_variables()[0];
    return {operations::times(saved, gradients[0]), at::Tensor()};
  }
};

// The usual incoming gradient of a loss is 1: then nothing is copied.
at::Tensor times_on_cpu(const at::Tensor& tensor, const at::Tensor& factor) {
  const at::Tensor wide = factor.to(at::kDouble);
  const double number = *wide.const_data_ptr<double>();
  return number == 1.0 ? tensor : tensor * number;
}

TORCH_LIBRARY_IMPL(interlock, CPU, library) {
  library.impl("product", TORCH_FN(product_on_cpu));
  library.impl("add_product_", TORCH_FN(add_product));
  library.impl("add_row_sum_", TORCH_FN(add_row_sum));
  library.impl("add_to_rows_", TORCH_FN(add_to_rows));
  library.impl("softmax_cross_entropy_", TORCH_FN(logits_to_gradient));
  library.impl("times", TORCH_FN(times_on_cpu));
}

}  // namespace

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, ParameterAccess* parameters) {
  return LinearFunction::apply(x, weight, bias.defined() ? std::optional(bias) : std::nullopt, parameters);
}

at::Tensor embedding(const at::Tensor& table, const at::Tensor& indices, int64_t padding, ParameterAccess* parameters) {
  return EmbeddingFunction::apply(table, indices, padding, parameters);
}

at::Tensor cross_entropy_sum(at::Tensor logits, const at::Tensor& targets) {
  if (at::GradMode::is_enabled() && logits.requires_grad()) return CrossEntropySum::apply(logits, targets);
  const at::Tensor with_target = logits.narrow(0, 0, targets.size(0));
  const bool narrow = logits.scalar_type() == at::kBFloat16;
  return at::cross_entropy_loss(narrow ? with_target.to(at::kFloat) : with_target, targets, {}, at::Reduction::Sum);
}

}  // namespace interlock
