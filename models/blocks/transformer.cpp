// Owns the Transformer block: attention, feed-forward part, both residual norms, and their costs.
#include "models/blocks/transformer.h"

#include <ATen/ops/gelu.h>

#include <algorithm>

#include "models/blocks/attention.h"
#include "models/blocks/norm.h"

namespace interlock {

TransformerBlock::TransformerBlock(const TransformerShape& shape, uint64_t layer, Part held)
    : shape_(shape), layer_(layer) {
  const int64_t width = shape.width;
  const at::ScalarType type = shape.numbers.parameters;
  if (held != Part::feed_forward) {
    query_ = attach_new<Linear>(*this, "attention.self.query", width, width, type);
    key_ = attach_new<Linear>(*this, "attention.self.key", width, width, type);
    value_ = attach_new<Linear>(*this, "attention.self.value", width, width, type);
    attention_output_ = attach_new<Linear>(*this, "attention.output.dense", width, width, type);
    attention_norm_ = attach_new<LayerNorm>(*this, "attention.output.LayerNorm", width, type);
  }
  if (held != Part::attention) {
    intermediate_ = attach_new<Linear>(*this, "intermediate.dense", width, shape.feed_forward, type);
    output_ = attach_new<Linear>(*this, "output.dense", shape.feed_forward, width, type);
    output_norm_ = attach_new<LayerNorm>(*this, "output.LayerNorm", width, type);
  }
}

at::Tensor TransformerBlock::attend(const at::Tensor& x, const ForwardContext& context) const {
  const at::Tensor q = query_->forward(x, context), k = key_->forward(x, context), v = value_->forward(x, context);
  if (shape_.attention_dropout == 0 || !context.training) return plain_attention(q, k, v, shape_.heads, context);
  return dropped_attention(q, k, v, shape_.heads, shape_.attention_dropout, layer_, context);
}

at::Tensor TransformerBlock::attention_half(const at::Tensor& x, const ForwardContext& context) const {
  const at::Tensor attended = attention_output_->forward(attend(x, context), context);
  return join(*attention_norm_, after_attention_, x, attended, Site::attention_output, context);
}

at::Tensor TransformerBlock::feed_forward_half(const at::Tensor& x, const ForwardContext& context) const {
  const at::Tensor fed = output_->forward(at::gelu(intermediate_->forward(x, context)), context);
  at::Tensor y = join(*output_norm_, after_feed_forward_, x, fed, Site::feed_forward, context);
  for (const auto& insertion : after_layer_) y = insertion->after({}, y, {}, context);
  return y;
}

// How a half ends: norm(x + dropout(y)), with what is inserted between dropout and sum.
at::Tensor TransformerBlock::join(const LayerNorm& norm, const Insertions& inserted, const at::Tensor& x,
                                  const at::Tensor& y, Site site, const ForwardContext& context) const {
  if (inserted.empty())
    return residual_norm(x, y, norm.weight, norm.bias, norm_epsilon, {shape_.dropout, layer_, site, context});
  at::Tensor changed = keyed_dropout(y, shape_.dropout, layer_, site, context);
  const Insertion::Norm normed = [&](const at::Tensor& sum) { return norm.forward(sum); };
  for (const auto& insertion : inserted) changed = insertion->after(x, changed, normed, context);
  return residual_norm(x, changed, norm.weight, norm.bias, norm_epsilon, {0.0, layer_, site, context});
}

void TransformerBlock::insert(const std::string& below, std::shared_ptr<Insertion> insertion) {
  const std::vector<std::pair<std::string, std::shared_ptr<Linear>*>> linear_layers = {
      {"attention.self.query", &query_},      {"attention.self.key", &key_},
      {"attention.self.value", &value_},      {"attention.output.dense", &attention_output_},
      {"intermediate.dense", &intermediate_}, {"output.dense", &output_}};
  for (const auto& [name, layer] : linear_layers)
    if (name == below) return (*layer)->insert(std::move(insertion));
  Insertions& place = below == "attention.output" ? after_attention_
                      : below == "output"         ? after_feed_forward_
                                                  : after_layer_;
  place.push_back(std::move(insertion));
}

at::Tensor TransformerBlock::forward(const at::Tensor& x, const ForwardContext& context, Part part) const {
  if (part == Part::attention) return attention_half(x, context);
  if (part == Part::feed_forward) return feed_forward_half(x, context);
  return feed_forward_half(attention_half(x, context), context);
}

std::vector<at::Tensor> TransformerBlock::parameters_of(Part part) const {
  if (part == Part::whole) return parameters();
  std::vector<at::Tensor> all;
  for (const auto& child : named_children()) {
    if ((child.key() == "attention") != (part == Part::attention)) continue;
    const std::vector<at::Tensor> of_child = child.value()->parameters();
    all.insert(all.end(), of_child.begin(), of_child.end());
  }
  return all;
}

std::vector<InsertionSite> transformer_sites(const std::string& path, const TransformerShape& shape) {
  using Kind = InsertionSite::Kind;
  const int64_t width = shape.width, wide = shape.feed_forward;
  std::vector<InsertionSite> sites;
  const auto add = [&](Kind kind, const std::string& below, int64_t inputs, int64_t outputs) {
    sites.push_back({.kind = kind,
                     .name = below.empty() ? path : path + "." + below,
                     .place = std::ssize(sites),
                     .inputs = inputs,
                     .outputs = outputs});
  };
  for (const char* product : {"attention.self.query", "attention.self.key", "attention.self.value"})
    add(Kind::linear, product, width, width);
  add(Kind::linear, "attention.output.dense", width, width);
  add(Kind::sub_layer, "attention.output", width, width);
  add(Kind::linear, "intermediate.dense", width, wide);
  add(Kind::linear, "output.dense", wide, width);
  add(Kind::sub_layer, "output", width, width);
  add(Kind::layer, "", width, width);
  return sites;
}

bool is_in_attention(const InsertionSite& site, const std::string& path) {
  return site.name.starts_with(path + ".attention.");
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

// Backward needs four of attention's products, and a fifth where the scores were not kept.
Costs attention_costs(const TransformerShape& shape, int64_t samples, int64_t length) {
  const int64_t width = shape.width, tokens = samples * length, of_norm = 2 * width,
                in_products = 4 * width * (width + 1);
  const auto [row, wide_row, mask, tables, chunk] = pieces_of(shape, samples, length);
  const int64_t statistic = shape.numbers.parameter_bytes();
  const double linear = 2.0 * static_cast<double>(tokens) * static_cast<double>(4 * width * width);
  const double product = 2.0 * static_cast<double>(tokens) * static_cast<double>(length * width);
  Costs costs;
  costs.forward_flops = linear + 2 * product;
  costs.input_gradient_flops = linear + (shape.attention_dropout > 0 ? 4 : 5) * product;
  costs.weight_gradient_flops = linear;
  costs.parameters = in_products + of_norm;
  costs.product_copy_bytes = in_products * shape.numbers.copy_bytes();
  const int64_t of_attention = tables > 0 ? tables : tokens * shape.heads * statistic;
  costs.activation_bytes = 6 * row + 2 * tokens * statistic + mask + of_attention;
  costs.linear_input_bytes = 2 * row;
  // At query, key, value and the output. Without dropout the gradient at an output is that of the norm above it, which
  // is not copied.
  costs.recorded_bytes = 4 * row + of_norm * statistic;
  // While the pass goes down, beside the gradient that it came with: gradients of the residual, of the result, of
  // query, key and value, and three tables; of what was saved, the norm's input and its mask and the result are free.
  costs.kept_working_bytes = 5 * row + 3 * chunk;
  costs.working_bytes = costs.kept_working_bytes - 2 * row - mask;
  // Query, key, value and the result; the tables that are kept, and of the samples that are worked on at a time one
  // more and copies of query and key.
  costs.forward_working_bytes = 4 * row + tables + chunk + (tables > 0 ? 3 * row / (tables / chunk) : 0);
  return costs;
}

Costs feed_forward_costs(const TransformerShape& shape, int64_t samples, int64_t length) {
  const int64_t width = shape.width, wide = shape.feed_forward, tokens = samples * length, of_norm = 2 * width;
  const auto [row, wide_row, mask, tables, chunk] = pieces_of(shape, samples, length);
  const int64_t statistic = shape.numbers.parameter_bytes(), in_products = 2 * width * wide + wide + width;
  Costs costs;
  costs.forward_flops = 2.0 * static_cast<double>(tokens) * static_cast<double>(2 * width * wide);
  costs.input_gradient_flops = costs.weight_gradient_flops = costs.forward_flops;
  costs.parameters = in_products + of_norm;
  costs.product_copy_bytes = in_products * shape.numbers.copy_bytes();
  costs.activation_bytes = 2 * row + 2 * wide_row + 2 * tokens * statistic + mask;
  costs.linear_input_bytes = row + wide_row;
  costs.recorded_bytes = row + wide_row + of_norm * statistic;
  // At the output layer: the gradient of the norm's input, which goes to the residual too (what the norm took is free
  // again by then), what dropout makes of it, and the layer's own.
  const int64_t at_output = row + (mask > 0 ? row : 0) + wide_row;
  costs.working_bytes = at_output - row - mask;
  // Where nothing is freed: there, and at GELU with a gradient on both sides.
  costs.kept_working_bytes = std::max(at_output, row + 2 * wide_row);
  // At the output layer what GELU took and gave, and the result; in the norm's result four of a row.
  costs.forward_working_bytes = std::max(row + 2 * wide_row, 4 * row);
  return costs;
}

}  // namespace

Costs transformer_costs(const TransformerShape& shape, int64_t samples, int64_t length, Part part) {
  const Costs below = attention_costs(shape, samples, length), above = feed_forward_costs(shape, samples, length);
  if (part == Part::attention) return below;
  if (part == Part::feed_forward) return above;
  Costs costs = below;
  costs += above;
  // Walked in one go, of the upper half the input, the norm's input, both wide rows and a mask are free when attention
  // is passed back.
  const auto [row, wide_row, mask, tables, chunk] = pieces_of(shape, samples, length);
  costs.working_bytes = std::max(above.working_bytes, below.working_bytes - 2 * row - 2 * wide_row - mask);
  // The lower half's result is alive in the upper.
  costs.forward_working_bytes = std::max(row + above.forward_working_bytes, below.forward_working_bytes);
  return costs;
}

}  // namespace interlock
