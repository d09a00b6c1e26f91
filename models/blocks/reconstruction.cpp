// Owns the reconstruction head.
#include "models/blocks/reconstruction.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/mse_loss.h>

#include <algorithm>
#include <cmath>

#include "models/blocks/keyed.h"

namespace interlock {
namespace {

int64_t narrow(int64_t width) { return std::max<int64_t>(1, width / 4); }

// The mean over the tokens of each sample and their numbers, [samples]; padding does not count.
at::Tensor mean_by_sample(const at::Tensor& squares, const at::Tensor& lengths) {
  if (!lengths.defined()) return squares.mean({1, 2});
  const at::Tensor places = at::arange(squares.size(1), lengths.options()).unsqueeze(0);
  const at::Tensor of_text = places.lt(lengths.unsqueeze(1)).unsqueeze(2);
  return (squares * of_text).sum({1, 2}) / (lengths * squares.size(2));
}

}  // namespace

ReconstructionHead::ReconstructionHead(const std::string& path, int64_t width, at::ScalarType type, uint64_t seed) {
  norm_ = attach_new<LayerNorm>(*this, path + ".norm", width, type);
  down_ = attach_new<Linear>(*this, path + ".down", width, narrow(width), type);
  up_ = attach_new<Linear>(*this, path + ".up", narrow(width), width, type);
  // Glorot & Bengio, 2010: 2 / (inputs + outputs), the same for both layers.
  initialize(*this, seed, {.deviation = 0.1 * std::sqrt(2.0 / static_cast<double>(width + narrow(width)))});
}

at::Tensor ReconstructionHead::scores(const at::Tensor& hidden, const ForwardContext& context) {
  const at::Tensor rows = norm_->forward(hidden).reshape({-1, hidden.size(-1)});
  return up_->forward(at::gelu(down_->forward(rows, context)), context);
}

LossSum ReconstructionHead::loss(const at::Tensor& hidden, const ForwardContext& context) {
  constexpr double factor = 10;
  const at::ScalarType type = hidden.scalar_type() == at::kBFloat16 ? at::kFloat : hidden.scalar_type();
  const at::Tensor made = scores(hidden, context).view(hidden.sizes()).to(type), given = context.features.to(type);
  const at::Tensor squares = at::mse_loss(made, given, at::Reduction::None);
  const at::Tensor sum = mean_by_sample(squares, context.batch->lengths).sum();
  const auto targets = static_cast<double>(context.batch->predicted), samples = static_cast<double>(hidden.size(0));
  return {sum * (factor * targets / samples), context.batch->predicted};
}

Costs reconstruction_costs(int64_t width, int64_t rows, const Numbers& numbers) {
  const int64_t small = narrow(width);
  Costs costs;
  costs.forward_flops = 2.0 * static_cast<double>(rows) * static_cast<double>(2 * width * small);
  costs.input_gradient_flops = costs.weight_gradient_flops = costs.forward_flops;
  costs.parameters = 2 * width + small * (width + 1) + width * (small + 1);
  costs.product_copy_bytes = (small * (width + 1) + width * (small + 1)) * numbers.copy_bytes();
  // The norm's result and statistics, what GELU takes and gives, and what was made, in float if it is narrower: then
  // the features too, which else are the first unit's input.
  const int64_t number = numbers.hidden_bytes(), wide = std::max<int64_t>(number, 4);
  const int64_t compared = number < wide ? 2 * wide : wide;
  costs.activation_bytes = rows * ((width + 2 * small) * number + width * compared + 2 * numbers.parameter_bytes());
  costs.working_bytes = rows * width * (2 * wide + number);  // squares and the gradients at both sides of them
  return costs;
}

}  // namespace interlock
