// Owns the choice of predicted rows and the local heads that score tokens or labels.
#include "models/blocks/heads.h"

#include <ATen/core/Reduction.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/mse_loss.h>
#include <ATen/ops/nonzero.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "models/blocks/functions.h"
#include "models/blocks/operations.h"

namespace interlock {

namespace {

// oneDNN, which computes large products, compiles code for each number of rows that it meets and keeps it, and how many
// targets a microbatch predicts differs each time. So rows are filled up to a multiple of 16 (with row 0 again; the
// loss passes over what has no target). Without, roberta-tiny kept 40 MiB of code on a rank after six steps in
// bfloat16.
at::Tensor filled_up(const at::Tensor& indices, at::ScalarType type) {
  constexpr int64_t multiple = 16;
  const int64_t missing = (multiple - indices.size(0) % multiple) % multiple;
  if (type == at::kDouble || missing == 0 || indices.size(0) == 0) return indices;
  return at::constant_pad_nd(indices, {0, missing}, 0);
}

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Rows by number where the library's own backward looks at the numbers on the host (it does where bits must repeat).
struct TakeRows : torch::autograd::Function<TakeRows> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& rows, const at::Tensor& numbers) {
    context->save_for_backward({numbers});
    context->saved_data["rows"] = rows.size(0);
    return rows.index_select(0, numbers);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const at::Tensor& gradient = gradients[0];
    constexpr int64_t none = -1;  // no row is padding
    at::Tensor sum =
        at::zeros({context->saved_data["rows"].toInt(), gradient.size(1)}, gradient.options().dtype(at::kFloat));
    operations::add_to_rows_(sum, context->get_saved_variables()[0], gradient, 1.0, none);
    return {sum.to(gradient.scalar_type()), at::Tensor()};
  }
};

at::Tensor take_rows(const at::Tensor& rows, const at::Tensor& numbers) {
  return rows.is_cpu() ? rows.index_select(0, numbers) : TakeRows::apply(rows, numbers);
}

bool of_samples(const Batch& batch) { return batch.targets.dim() == 1; }

}  // namespace

at::Tensor RowHead::prepare(const at::Tensor& hidden, const ForwardContext&) const { return hidden; }

RowHead::Chosen RowHead::chosen(const at::Tensor& hidden, const ForwardContext& context) const {
  at::Tensor prepared = prepare(hidden, context);
  if (of_samples(*context.batch) && prepared.dim() == 3) prepared = prepared.select(1, 0).contiguous();
  const at::Tensor rows = prepared.reshape({-1, prepared.size(-1)});
  const at::Tensor targets = context.batch->targets.reshape({-1});
  if (at::isFloatingType(targets.scalar_type())) return {classify(rows, context), targets};
  const at::Tensor& known = context.batch->predicted_rows;
  const at::Tensor indices = known.defined() ? known : targets.ne(ignored_target).nonzero().squeeze(1);
  if (indices.size(0) == targets.size(0)) return {classify(rows, context), targets};
  return {classify(take_rows(rows, filled_up(indices, rows.scalar_type())), context), targets.index_select(0, indices)};
}

at::Tensor RowHead::Chosen::guessed_scores() const {
  const at::Tensor guessed = scores.to(at::kDouble);
  return at::stack({guessed, targets.to(at::kDouble), at::zeros_like(guessed)}, 1);
}

at::Tensor RowHead::Chosen::guessed_classes() const {
  const at::Tensor above = scores.gt(scores.gather(1, targets.unsqueeze(1))).sum(1);
  return at::stack({scores.argmax(1), targets, above}, 1).to(at::kDouble);
}

LossSum RowHead::Chosen::loss(const ForwardContext& context) {
  const bool of_scores = at::isFloatingType(targets.scalar_type());
  if (of_scores) scores = scores.squeeze(1);
  LossSum result;
  result.count = targets.size(0);
  if (!context.training && of_samples(*context.batch))
    result.guesses = of_scores ? guessed_scores() : guessed_classes();
  if (of_scores) {
    const at::ScalarType type = scores.scalar_type() == at::kBFloat16 ? at::kFloat : scores.scalar_type();
    result.sum = at::mse_loss(scores.to(type), targets.to(type), at::Reduction::Sum);
  } else {
    result.sum = cross_entropy_sum(std::move(scores), targets);
  }
  return result;
}

LossSum RowHead::loss(const at::Tensor& hidden, const ForwardContext& context) {
  return chosen(hidden, context).loss(context);
}

at::Tensor RowHead::scores(const at::Tensor& hidden, const ForwardContext& context) {
  const Chosen found = chosen(hidden, context);
  return found.scores.narrow(0, 0, found.targets.size(0));
}

LinearHead::LinearHead(const std::string& path, int64_t width, int64_t classes, at::ScalarType type) {
  norm_ = attach_new<LayerNorm>(*this, path + ".norm", width, type);
  decoder_ = attach_new<Linear>(*this, path + ".decoder", width, classes, type);
}

at::Tensor LinearHead::classify(const at::Tensor& rows, const ForwardContext& context) const {
  return decoder_->forward(norm_->forward(rows), context);
}

BlockHead::BlockHead(const std::string& path, const TransformerShape& shape, uint64_t layer, int64_t classes)
    : LinearHead(path, shape.width, classes, shape.numbers.parameters) {
  block_ = attach_new<TransformerBlock>(*this, path + ".block", shape, layer);
}

at::Tensor BlockHead::prepare(const at::Tensor& hidden, const ForwardContext& context) const {
  return block_->forward(hidden, context);
}

SharedReadoutHead::SharedReadoutHead(const std::string& path, const TransformerShape& shape, uint64_t layer,
                                     uint64_t seed, std::shared_ptr<RowHead> copy)
    : copy_(std::move(copy)) {
  block_ = attach_new<TransformerBlock>(*this, path + ".block", shape, layer);
  initialize_blocks(*this, shape, seed);
  for (at::Tensor& values : copy_->parameters()) values.set_requires_grad(false);
}

std::vector<std::pair<std::string, at::Tensor>> SharedReadoutHead::readout_copies() {
  std::vector<std::pair<std::string, at::Tensor>> copies;
  for (const auto& entry : copy_->named_parameters()) copies.emplace_back(entry.key(), entry.value());
  return copies;
}

at::Tensor SharedReadoutHead::prepare(const at::Tensor& hidden, const ForwardContext& context) const {
  return block_->forward(hidden, context);
}

at::Tensor SharedReadoutHead::classify(const at::Tensor& rows, const ForwardContext& context) const {
  return copy_->classify(rows, context);
}

Costs linear_head_costs(int64_t width, int64_t classes, double rows, Numbers numbers) {
  const double product = 2 * rows * static_cast<double>(width * classes);
  Costs costs;
  costs.forward_flops = costs.input_gradient_flops = costs.weight_gradient_flops = product;
  costs.parameters = width * classes + classes + 2 * width;
  const int64_t per_row = (2 * width + classes) * numbers.hidden_bytes() + 2 * numbers.parameter_bytes();
  costs.activation_bytes = static_cast<int64_t>(rows * static_cast<double>(per_row));
  costs.product_copy_bytes = (width + 1) * classes * numbers.copy_bytes();
  // The gradient of the norm's result; and, once the scores' is free again, that of the rows as well.
  const int64_t widths = std::max(width, 2 * width - classes);
  costs.working_bytes = static_cast<int64_t>(rows * static_cast<double>(widths * numbers.hidden_bytes()));
  return costs;
}

Costs costs_above_a_block(const Costs& reader, const TransformerShape& shape, int64_t samples, int64_t length) {
  Costs costs = reader;
  const Costs block = transformer_costs(shape, samples, length);
  const int64_t between = samples * length * shape.width * shape.numbers.hidden_bytes();
  const int64_t at_block = block.working_bytes + between - reader.activation_bytes;
  costs += block;
  costs.working_bytes = std::max(reader.working_bytes, at_block);
  return costs;
}

}  // namespace interlock
