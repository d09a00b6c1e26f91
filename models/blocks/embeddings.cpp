// Owns RoBERTa's input side. Token 1 is padding in vocabulary and position table alike.
#include "models/blocks/embeddings.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/where.h>

#include "models/blocks/dropout.h"

namespace interlock {
namespace {
constexpr int64_t padding = 1;
constexpr int64_t first_position = padding + 1;
}  // namespace

RobertaEmbeddings::RobertaEmbeddings(const Shape& shape) : dropout_(shape.dropout), numbers_(shape.numbers) {
  const at::ScalarType type = shape.numbers.parameters;
  const int64_t width = shape.width;
  words_ = attach_new<Embedding>(*this, "word_embeddings", shape.vocabulary, width, type);
  positions_ = attach_new<Embedding>(*this, "position_embeddings", shape.max_length + first_position, width, type);
  types_ = attach_new<Embedding>(*this, "token_type_embeddings", shape.token_types, width, type);
  norm_ = attach_new<LayerNorm>(*this, "LayerNorm", width, type, shape.norm_epsilon);
}

void clear_padding_row(at::Tensor& table) {
  const at::NoGradGuard no_grad;
  table[padding].zero_();
}

void RobertaEmbeddings::clear_padding_rows() {
  clear_padding_row(words_->weight);
  clear_padding_row(positions_->weight);
}

// [length, width] when nothing is padded, else [samples, length, width].
at::Tensor RobertaEmbeddings::positions(const at::Tensor& tokens, const ForwardContext& context) const {
  const int64_t length = tokens.size(1);
  const at::Tensor& lengths = context.batch->lengths;
  if (!lengths.defined()) return positions_->weight.narrow(0, first_position, length);
  const at::Tensor index = at::arange(length, tokens.options()).unsqueeze(0);
  const at::Tensor row = at::where(index.lt(lengths.unsqueeze(1)), index + first_position, padding);
  return positions_->forward(row, padding, context);
}

at::Tensor RobertaEmbeddings::forward(const at::Tensor& tokens, const ForwardContext& context) const {
  // The small tables are added first: without padding their sum is [length, width] and costs nothing.
  const at::Tensor places = positions(tokens, context) + types_->weight[0];
  const at::Tensor sum = words_->forward(tokens, padding, context) + places;
  return keyed_dropout(norm_->forward(sum).to(numbers_.hidden), dropout_, 0, Site::embeddings, context);
}

}  // namespace interlock
