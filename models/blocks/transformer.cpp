// Owns the Transformer block: attention, feed-forward part, both residual norms, and their costs.
#include "models/blocks/transformer.h"

#include <ATen/ops/gelu.h>

#include <algorithm>

#include "models/blocks/attention.h"
#include "models/blocks/norm.h"

namespace interlock {

TransformerBlock::TransformerBlock(const TransformerShape& shape, uint64_t layer) : shape_(shape), layer_(layer) {
  const int64_t width = shape.width;
  query_ = attach_new<Linear>(*this, "attention.self.query", width, width, shape.numbers.parameters);
  key_ = attach_new<Linear>(*this, "attention.self.key", width, width, shape.numbers.parameters);
  value_ = attach_new<Linear>(*this, "attention.self.value", width, width, shape.numbers.parameters);
  attention_output_ = attach_new<Linear>(*this, "attention.output.dense", width, width, shape.numbers.parameters);
  attention_norm_ = attach_new<LayerNorm>(*this, "attention.output.LayerNorm", width, shape.numbers.parameters);
  intermediate_ = attach_new<Linear>(*this, "intermediate.dense", width, shape.feed_forward, shape.numbers.parameters);
  output_ = attach_new<Linear>(*this, "output.dense", shape.feed_forward, width, shape.numbers.parameters);
  output_norm_ = attach_new<LayerNorm>(*this, "output.LayerNorm", width, shape.numbers.parameters);
}

at::Tensor TransformerBlock::attention(const at::Tensor& x, const ForwardContext& context) const {
  const at::Tensor q = query_->forward(x, context), k = key_->forward(x, context), v = value_->forward(x, context);
  if (shape_.attention_dropout == 0 || !context.training) return plain_attention(q, k, v, shape_.heads, context);
  return dropped_attention(q, k, v, shape_.heads, shape_.attention_dropout, layer_, context);
}

at::Tensor TransformerBlock::forward(const at::Tensor& x, const ForwardContext& context) const {
  const auto joined = [&](const LayerNorm& norm, const at::Tensor& before, const at::Tensor& y, Site site) {
    return residual_norm(before, y, norm.weight, norm.bias, norm_epsilon, {shape_.dropout, layer_, site, context});
  };
  const at::Tensor attended = attention_output_->forward(attention(x, context), context);
  const at::Tensor middle = joined(*attention_norm_, x, attended, Site::attention_output);
  const at::Tensor fed = output_->forward(at::gelu(intermediate_->forward(middle, context)), context);
  return joined(*output_norm_, middle, fed, Site::feed_forward);
}

const std::vector<std::string>& transformer_linear_names() {
  static const std::vector<std::string> names = {"attention.self.query",   "attention.self.key", "attention.self.value",
                                                 "attention.output.dense", "intermediate.dense", "output.dense"};
  return names;
}

namespace {

// Bytes that the memory of a pass is made of.
struct Pieces {
  int64_t row, wide_row;  // a tensor of one width per token, and of the feed-forward width
  int64_t mask;           // of one dropout: a byte per number of a row
  int64_t tables;         // attention's rows of scores, where it drops; of all samples
  int64_t chunk;          // the same of the samples that are worked on at a time
};

Pieces pieces_of(const TransformerShape& shape, int64_t samples, int64_t length) {
  const int64_t number = shape.numbers.hidden_bytes(), tokens = samples * length;
  Pieces pieces{tokens * shape.width * number, tokens * shape.feed_forward * number, 0, 0, 0};
  if (shape.dropout > 0) pieces.mask = tokens * shape.width;
  if (shape.attention_dropout > 0) {
    const int64_t of_sample = shape.heads * length * length * number;
    pieces.tables = samples * of_sample;
    pieces.chunk = std::min(samples, attention_chunk(shape.heads, length)) * of_sample;
  }
  return pieces;
}

void add_products(Costs& costs, const TransformerShape& shape, int64_t samples, int64_t length) {
  const auto width = static_cast<double>(shape.width), wide = static_cast<double>(shape.feed_forward);
  const double tokens = static_cast<double>(samples * length);
  const double linear = 2 * tokens * (4 * width * width + 2 * width * wide);
  const double attention_product = 2 * tokens * static_cast<double>(length) * width;
  costs.forward_flops = linear + 2 * attention_product;
  // Backward needs four products, and a fifth where the scores were not kept.
  costs.input_gradient_flops = linear + (shape.attention_dropout > 0 ? 4 : 5) * attention_product;
  costs.weight_gradient_flops = linear;
}

}  // namespace

Costs transformer_costs(const TransformerShape& shape, int64_t samples, int64_t length) {
  const int64_t width = shape.width, wide = shape.feed_forward, of_norms = 4 * width;
  const int64_t statistic = shape.numbers.parameter_bytes(), tokens = samples * length;
  const auto [row, wide_row, mask, tables, chunk] = pieces_of(shape, samples, length);
  Costs costs;
  add_products(costs, shape, samples, length);
  const int64_t in_products = 4 * width * (width + 1) + 2 * width * wide + wide + width;
  costs.parameters = in_products + of_norms;
  costs.product_copy_bytes = in_products * shape.numbers.copy_bytes();
  const int64_t of_attention = tables > 0 ? tables : tokens * shape.heads * statistic;
  costs.activation_bytes = 8 * row + 2 * wide_row + 4 * tokens * statistic + 2 * mask + of_attention;
  costs.linear_input_bytes = 3 * row + wide_row;
  // At query, key, value, both outputs and the middle. Without dropout the gradient at an output is that of the norm
  // above it, which is not copied.
  costs.recorded_bytes = 5 * row + wide_row + of_norms * statistic;

  // While the pass goes down, beside the gradient that it came with. At the output layer: the gradient of the norm's
  // input, which goes to the residual too (what the norm took is free again by then), what dropout makes of it, and the
  // layer's own. In attention: gradients of the residual, of the result, of query, key and value, and three tables; of
  // what was saved above, four rows, both wide ones and both masks are free.
  const int64_t dropped = mask > 0 ? row : 0, at_output = row + dropped + wide_row;
  const int64_t at_attention = tables > 0 ? 5 * row + 3 * chunk : 5 * row;
  costs.working_bytes = std::max(at_output - row - mask, at_attention - 4 * row - 2 * wide_row - 2 * mask);
  // Where nothing is freed: there, and at GELU with a gradient on both sides.
  costs.kept_working_bytes = std::max({at_output, row + 2 * wide_row, at_attention});
  // At the output layer: the first norm's input and result, and what GELU took and gave. In attention: query, key,
  // value and the result; the tables that are kept, and one more.
  costs.forward_working_bytes = std::max(3 * row + 2 * wide_row, 4 * row + tables + chunk);
  return costs;
}

}  // namespace interlock
