// Owns the Transformer block: attention, feed-forward part, both norms, and their costs.
#include "models/blocks/transformer.h"

#include <ATen/ops/gelu.h>

#include <algorithm>
#include <cmath>

#include "models/blocks/attention.h"
#include "models/blocks/cached_attention.h"
#include "models/blocks/keyed.h"
#include "models/blocks/norm.h"

namespace interlock {

TransformerBlock::TransformerBlock(const TransformerShape& shape, uint64_t layer, Part held)
    : shape_(shape), layer_(layer) {
  const int64_t width = shape.width;
  const at::ScalarType type = shape.numbers.parameters;
  const BlockDesign& design = *shape.design;
  if (held != Part::feed_forward) {
    if (design.fused != nullptr) {
      fused_ = attach_new<Linear>(*this, design.fused, width, 3 * width, type);
    } else {
      query_ = attach_new<Linear>(*this, design.query, width, width, type);
      key_ = attach_new<Linear>(*this, design.key, width, width, type);
      value_ = attach_new<Linear>(*this, design.value, width, width, type);
    }
    attention_output_ = attach_new<Linear>(*this, design.attention_output, width, width, type);
    attention_norm_ = attach_new<LayerNorm>(*this, design.attention_norm, width, type, shape.norm_epsilon);
  }
  if (held != Part::attention) {
    intermediate_ = attach_new<Linear>(*this, design.intermediate, width, shape.feed_forward, type);
    output_ = attach_new<Linear>(*this, design.output, shape.feed_forward, width, type);
    output_norm_ = attach_new<LayerNorm>(*this, design.output_norm, width, type, shape.norm_epsilon);
  }
}

at::Tensor TransformerBlock::attend(const at::Tensor& x, const ForwardContext& context) const {
  at::Tensor q, k, v;
  if (fused_) {
    const auto parts = fused_->forward(x, context).chunk(3, -1);
    q = parts[0], k = parts[1], v = parts[2];
  } else {
    q = query_->forward(x, context), k = key_->forward(x, context), v = value_->forward(x, context);
  }
  const bool causal = shape_.design->causal;
  if (causal && context.cache != nullptr) return cached_attention(q, k, v, shape_.heads, layer_, *context.cache);
  if (shape_.attention_dropout == 0 || !context.training)
    return plain_attention(q, k, v, shape_.heads, causal, context);
  return dropped_attention(q, k, v, shape_.heads, causal, shape_.attention_dropout, layer_, context);
}

at::Tensor TransformerBlock::attention_half(const at::Tensor& x, const ForwardContext& context) const {
  const at::Tensor taken = shape_.design->pre_norm ? attention_norm_->forward(x) : x;
  const at::Tensor attended = attention_output_->forward(attend(taken, context), context);
  return join(*attention_norm_, after_attention_, x, attended, Site::attention_output, context);
}

at::Tensor TransformerBlock::feed_forward_half(const at::Tensor& x, const ForwardContext& context) const {
  const at::Tensor taken = shape_.design->pre_norm ? output_norm_->forward(x) : x;
  const at::Tensor fed = output_->forward(
      at::gelu(intermediate_->forward(taken, context), shape_.design->tanh_gelu ? "tanh" : "none"), context);
  at::Tensor y = join(*output_norm_, after_feed_forward_, x, fed, Site::feed_forward, context);
  for (const auto& insertion : after_layer_) y = insertion->after({}, y, {}, context);
  return y;
}

// How a half ends: norm(x + dropout(y)), or pre-norm the sum alone, with what is inserted between dropout and sum.
at::Tensor TransformerBlock::join(const LayerNorm& norm, const Insertions& inserted, const at::Tensor& x,
                                  const at::Tensor& y, Site site, const ForwardContext& context) const {
  const bool pre_norm = shape_.design->pre_norm;
  if (inserted.empty() && !pre_norm)
    return residual_norm(x, y, norm.weight, norm.bias, norm.epsilon, {shape_.dropout, layer_, site, context});
  at::Tensor changed = keyed_dropout(y, shape_.dropout, layer_, site, context);
  const Insertion::Norm normed = [&](const at::Tensor& sum) { return pre_norm ? sum : norm.forward(sum); };
  for (const auto& insertion : inserted) changed = insertion->after(x, changed, normed, context);
  if (pre_norm) return x + changed;
  return residual_norm(x, changed, norm.weight, norm.bias, norm.epsilon, {0.0, layer_, site, context});
}

namespace {
std::string text(const char* path) { return path == nullptr ? "" : path; }
}  // namespace

void TransformerBlock::insert(const std::string& below, std::shared_ptr<Insertion> insertion) {
  const BlockDesign& design = *shape_.design;
  const std::vector<std::pair<std::string, std::shared_ptr<Linear>*>> linear_layers = {
      {text(design.fused), &fused_},
      {text(design.query), &query_},
      {text(design.key), &key_},
      {text(design.value), &value_},
      {design.attention_output, &attention_output_},
      {design.intermediate, &intermediate_},
      {design.output, &output_}};
  for (const auto& [name, layer] : linear_layers)
    if (!name.empty() && name == below) return (*layer)->insert(std::move(insertion));
  Insertions& place = below == design.attention      ? after_attention_
                      : below == design.feed_forward ? after_feed_forward_
                                                     : after_layer_;
  place.push_back(std::move(insertion));
}

at::Tensor TransformerBlock::forward(const at::Tensor& x, const ForwardContext& context, Part part) const {
  if (part == Part::attention) return attention_half(x, context);
  if (part == Part::feed_forward) return feed_forward_half(x, context);
  return feed_forward_half(attention_half(x, context), context);
}

namespace {

// Whether what stands at a path below a block is of its attention half: by the first part of the path.
bool is_of_attention(const BlockDesign& design, const std::string& path) {
  const auto first = [](std::string_view whole) { return whole.substr(0, whole.find('.')); };
  return first(path) == first(design.attention_output) || first(path) == first(design.attention_norm);
}

}  // namespace

std::vector<at::Tensor> TransformerBlock::parameters_of(Part part) const {
  if (part == Part::whole) return parameters();
  std::vector<at::Tensor> all;
  for (const auto& child : named_children()) {
    if (is_of_attention(*shape_.design, child.key()) != (part == Part::attention)) continue;
    const std::vector<at::Tensor> of_child = child.value()->parameters();
    all.insert(all.end(), of_child.begin(), of_child.end());
  }
  return all;
}

std::vector<InsertionSite> transformer_sites(const std::string& path, const TransformerShape& shape) {
  using Kind = InsertionSite::Kind;
  const BlockDesign& design = *shape.design;
  const int64_t width = shape.width, wide = shape.feed_forward;
  std::vector<InsertionSite> sites;
  const auto add = [&](Kind kind, const std::string& below, int64_t inputs, int64_t outputs) {
    sites.push_back({.kind = kind,
                     .name = below.empty() ? path : path + "." + below,
                     .place = std::ssize(sites),
                     .inputs = inputs,
                     .outputs = outputs});
  };
  if (design.fused != nullptr) {
    add(Kind::linear, design.fused, width, 3 * width);
  } else {
    for (const char* product : {design.query, design.key, design.value}) add(Kind::linear, product, width, width);
  }
  add(Kind::linear, design.attention_output, width, width);
  add(Kind::sub_layer, design.attention, width, width);
  add(Kind::linear, design.intermediate, width, wide);
  add(Kind::linear, design.output, wide, width);
  add(Kind::sub_layer, design.feed_forward, width, width);
  add(Kind::layer, "", width, width);
  return sites;
}

bool is_in_attention(const InsertionSite& site, const std::string& path, const TransformerShape& shape) {
  return site.name.size() > path.size() && is_of_attention(*shape.design, site.name.substr(path.size() + 1));
}

double joining_deviation_of(const BlockDesign& design, int64_t layers) {
  return Initial{}.deviation / (design.pre_norm ? std::sqrt(2.0 * static_cast<double>(layers)) : 1.0);
}

void initialize_blocks(torch::nn::Module& module, const TransformerShape& shape, uint64_t seed) {
  const std::string attention = std::string(".") + shape.design->attention_output + ".weight",
                    feed_forward = std::string(".") + shape.design->output + ".weight";
  for (auto& entry : module.named_parameters()) {
    const bool joins = entry.key().ends_with(attention) || entry.key().ends_with(feed_forward);
    initialize_as(entry.value(), entry.key(), seed,
                  {.deviation = joins ? shape.joining_deviation : Initial{}.deviation});
  }
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
  // At query, key, value and the output. Without dropout the gradient at an output is that of the norm (or the sum)
  // above it, which is not copied.
  costs.recorded_bytes = 4 * row + of_norm * statistic;
  // While the pass goes down, beside the gradient that it came with: gradients of the residual, of the result, of
  // query, key and value, and three tables; of what was saved, the norm's input and its mask and the result are free.
  costs.kept_working_bytes = 5 * row + 3 * chunk;
  costs.working_bytes = costs.kept_working_bytes - 2 * row - mask;
  if (shape.design->pre_norm) {
    // The residual's is the one it came with, and the norm's input stays until the end.
    costs.working_bytes = 4 * row + 3 * chunk - row - mask;
    costs.kept_working_bytes = (mask > 0 ? 5 : 4) * row + 3 * chunk;
    // Where one layer made query, key and value, their gradients are laid side by side.
    if (shape.design->fused != nullptr) costs.kept_working_bytes = std::max(costs.kept_working_bytes, 6 * row);
  }
  // Query, key, value and the result, pre-norm what they were made of; the tables that are kept, and of the samples
  // that are worked on at a time one more and copies of query and key.
  const int64_t rows = shape.design->pre_norm ? 5 : 4;
  costs.forward_working_bytes = rows * row + tables + chunk + (tables > 0 ? 3 * row / (tables / chunk) : 0);
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
  if (shape.design->pre_norm) {
    // The residual's gradient is the one it came with; at GELU the output layer's input is free.
    costs.working_bytes = wide_row - mask + (mask > 0 ? row : 0);
  }
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
