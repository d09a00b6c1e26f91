// Owns the Transformer block: attention, feed-forward part, both residual norms, and their costs.
#include "models/blocks/transformer.h"

#include <ATen/ops/gelu.h>

#include <algorithm>

#include "models/blocks/attention.h"

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
  const auto drop = [&](const at::Tensor& y, Site site) {
    return keyed_dropout(y, shape_.dropout, layer_, site, context);
  };
  const at::Tensor attended = attention_output_->forward(attention(x, context), context);
  const at::Tensor middle = attention_norm_->forward(x + drop(attended, Site::attention_output));
  const at::Tensor fed = output_->forward(at::gelu(intermediate_->forward(middle, context)), context);
  return output_norm_->forward(middle + drop(fed, Site::feed_forward));
}

const std::vector<std::string>& transformer_linear_names() {
  static const std::vector<std::string> names = {"attention.self.query",   "attention.self.key", "attention.self.value",
                                                 "attention.output.dense", "intermediate.dense", "output.dense"};
  return names;
}

namespace {

// Bytes that the working memory of a pass is made of.
struct Pieces {
  int64_t row, wide_row;  // a tensor of one width per token, and of the feed-forward width
  int64_t tables;         // of attention that drops: three, of the samples that are worked on at a time
};

Pieces pieces_of(const TransformerShape& shape, int64_t samples, int64_t length) {
  const int64_t number = shape.numbers.hidden_bytes(), tokens = samples * length;
  Pieces pieces{tokens * shape.width * number, tokens * shape.feed_forward * number, 0};
  if (shape.attention_dropout > 0) {
    const int64_t at_a_time = std::min(samples, attention_chunk(shape.heads, length));
    pieces.tables = 3 * at_a_time * shape.heads * length * length * number;
  }
  return pieces;
}

// But for the working memory.
Costs transformer_totals(const TransformerShape& shape, int64_t samples, int64_t length) {
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
  const int64_t stored = shape.numbers.hidden_bytes(), statistic = shape.numbers.parameter_bytes();
  const int64_t of_attention = drops_in_attention ? length * stored : statistic;
  const int64_t masks = shape.dropout > 0 ? 2 * shape.width : 0;
  const int64_t per_token =
      (8 * shape.width + 2 * shape.feed_forward) * stored + 4 * statistic + masks + shape.heads * of_attention;
  costs.activation_bytes = samples * length * per_token;
  return costs;
}

}  // namespace

int64_t transformer_last_pass_bytes(const TransformerShape& shape, int64_t samples, int64_t length) {
  const auto [row, wide_row, tables] = pieces_of(shape, samples, length);
  const int64_t parameter = shape.numbers.parameter_bytes();
  const int64_t wide = shape.width * shape.feed_forward, matrix = shape.width * shape.width;
  const int64_t copies = 2 * wide * shape.numbers.copy_bytes();  // of a weight, and of a piece of its gradient
  const int64_t at_output = 2 * row + wide_row + wide * parameter + copies;
  // From here on what was saved above is free again: five rows, which as many gradients of rows make up for, and both
  // wide ones; and the gradients of the weights there are made.
  const int64_t at_attention = tables + (2 * wide + matrix) * parameter - 2 * wide_row;
  const Costs costs = transformer_totals(shape, samples, length);
  const int64_t at_end = costs.parameters * parameter - costs.activation_bytes + 4 * row;
  return std::max({at_output, tables > 0 ? at_attention : 0, at_end});
}

Costs transformer_costs(const TransformerShape& shape, int64_t samples, int64_t length) {
  Costs costs = transformer_totals(shape, samples, length);
  // A pass to the input alone frees nothing: the gradients on both sides of GELU, or attention's tables.
  const auto [row, wide_row, tables] = pieces_of(shape, samples, length);
  const int64_t input_only = std::max(2 * row + 2 * wide_row, tables > 0 ? tables + 5 * row : 0);
  costs.working_bytes = std::max(input_only, transformer_last_pass_bytes(shape, samples, length));
  return costs;
}

}  // namespace interlock
