// Owns the Transformer block: attention, feed-forward part, both residual norms, and their costs.
#include "models/blocks/transformer.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <limits>

#include "models/blocks/keyed.h"

namespace interlock {

at::Tensor padding_mask(const ForwardContext& context, const at::Tensor& hidden) {
  const at::Tensor& lengths = context.batch->lengths;
  if (!lengths.defined()) return {};
  const int64_t samples = hidden.size(0), length = hidden.size(1);
  const at::Tensor padded = at::arange(length, lengths.options()).unsqueeze(0).ge(lengths.unsqueeze(1));
  at::Tensor mask = at::zeros({samples, length}, hidden.options().requires_grad(false));
  mask.masked_fill_(padded, -std::numeric_limits<double>::infinity());
  return mask.view({samples, 1, 1, length});
}

TransformerBlock::TransformerBlock(const TransformerShape& shape, uint64_t layer) : shape_(shape), layer_(layer) {
  const int64_t width = shape.width;
  query_ = attach_new<Linear>(*this, "attention.self.query", width, width, shape.type);
  key_ = attach_new<Linear>(*this, "attention.self.key", width, width, shape.type);
  value_ = attach_new<Linear>(*this, "attention.self.value", width, width, shape.type);
  attention_output_ = attach_new<Linear>(*this, "attention.output.dense", width, width, shape.type);
  attention_norm_ = attach_new<LayerNorm>(*this, "attention.output.LayerNorm", width, shape.type);
  intermediate_ = attach_new<Linear>(*this, "intermediate.dense", width, shape.feed_forward, shape.type);
  output_ = attach_new<Linear>(*this, "output.dense", shape.feed_forward, width, shape.type);
  output_norm_ = attach_new<LayerNorm>(*this, "output.LayerNorm", width, shape.type);
}

at::Tensor TransformerBlock::attention(const at::Tensor& x, const at::Tensor& mask,
                                       const ForwardContext& context) const {
  const int64_t samples = x.size(0), length = x.size(1), head_width = shape_.width / shape_.heads;
  const auto split = [&](const at::Tensor& y) {  // [samples, heads, length, head_width], nothing copied
    return y.view({samples, length, shape_.heads, head_width}).transpose(1, 2);
  };
  const at::Tensor q = split(query_->forward(x)), k = split(key_->forward(x)), v = split(value_->forward(x));
  at::Tensor mixed;
  if (shape_.attention_dropout == 0 || !context.training) {
    const auto bias = mask.defined() ? std::optional<at::Tensor>(mask) : std::nullopt;
    mixed = at::scaled_dot_product_attention(q, k, v, bias);
  } else {
    at::Tensor scores = at::matmul(q * (1 / std::sqrt(static_cast<double>(head_width))), k.transpose(2, 3));
    if (mask.defined()) scores = scores + mask;
    const at::Tensor probabilities = at::softmax(scores, -1);
    const Site site = Site::attention_probabilities;
    mixed = at::matmul(keyed_dropout(probabilities, shape_.attention_dropout, layer_, site, context), v);
  }
  return mixed.transpose(1, 2).reshape({samples, length, shape_.width});
}

at::Tensor TransformerBlock::forward(const at::Tensor& x, const at::Tensor& mask, const ForwardContext& context) const {
  const auto drop = [&](const at::Tensor& y, Site site) {
    return keyed_dropout(y, shape_.dropout, layer_, site, context);
  };
  const at::Tensor attended = attention_output_->forward(attention(x, mask, context));
  const at::Tensor middle = attention_norm_->forward(x + drop(attended, Site::attention_output));
  const at::Tensor fed = output_->forward(at::gelu(intermediate_->forward(middle)));
  return output_norm_->forward(middle + drop(fed, Site::feed_forward));
}

const std::vector<std::string>& transformer_linear_names() {
  static const std::vector<std::string> names = {"attention.self.query",   "attention.self.key", "attention.self.value",
                                                 "attention.output.dense", "intermediate.dense", "output.dense"};
  return names;
}

Costs transformer_costs(const TransformerShape& shape, int64_t samples, int64_t length) {
  const auto width = static_cast<double>(shape.width), wide = static_cast<double>(shape.feed_forward);
  const double tokens = static_cast<double>(samples * length);
  const double linear = 2 * tokens * (4 * width * width + 2 * width * wide);
  const double attention_product = 2 * tokens * static_cast<double>(length) * width;
  const bool drops_in_attention = shape.attention_dropout > 0;
  Costs costs;
  costs.forward_flops = linear + 2 * attention_product;
  // Backward needs four products, and a fifth where the scores were not kept.
  costs.input_gradient_flops = linear + (drops_in_attention ? 4 : 5) * attention_product;
  costs.weight_gradient_flops = linear;
  costs.parameters = 4 * shape.width * (shape.width + 1) + 2 * shape.width * shape.feed_forward + shape.feed_forward +
                     shape.width + 4 * shape.width;
  const int64_t per_row = drops_in_attention ? 3 * length : 1;
  const int64_t masks = shape.dropout > 0 ? 2 * shape.width : 0;
  const int64_t per_token = 8 * shape.width + 2 * shape.feed_forward + 4 + masks + shape.heads * per_row;
  costs.activation_bytes = samples * length * per_token * static_cast<int64_t>(c10::elementSize(shape.type));
  return costs;
}

}  // namespace interlock
