// Owns the input side and the readout of "gpt", and their costs.
#include "models/gpt_parts.h"

#include <algorithm>

#include "models/blocks/dropout.h"
#include "models/blocks/keyed.h"
#include "models/key_value_cache.h"

namespace interlock {
namespace {
constexpr int64_t none = -1;  // no row of a table is padding
}  // namespace

GptEmbeddings::GptEmbeddings(const GptSettings& settings)
    : dropout_(settings.embedding_dropout), numbers_(settings.block.numbers) {
  const int64_t width = settings.block.width;
  words_ = attach_new<Embedding>(*this, "wte", settings.vocabulary, width, numbers_.parameters);
  places_ = attach_new<Embedding>(*this, "wpe", settings.max_length, width, numbers_.parameters);
}

// [length, width] where all samples have the same places, else [samples, length, width].
at::Tensor GptEmbeddings::places(const at::Tensor& tokens, const ForwardContext& context) const {
  if (context.cache != nullptr) return places_->forward(context.cache->positions, none, context);
  if (context.batch->positions.defined()) return places_->forward(context.batch->positions, none, context);
  return places_->weight.narrow(0, 0, tokens.size(1));
}

at::Tensor GptEmbeddings::forward(const at::Tensor& tokens, const ForwardContext& context) const {
  const at::Tensor sum = words_->forward(tokens, none, context) + places(tokens, context);
  return keyed_dropout(sum.to(numbers_.hidden), dropout_, 0, Site::embeddings, context);
}

GptReadout::GptReadout(const GptSettings& settings) {
  const int64_t width = settings.block.width;
  const at::ScalarType type = settings.block.numbers.parameters;
  norm_ = attach_new<LayerNorm>(*this, gpt_final_norm, width, type, settings.block.norm_epsilon);
  decoder_ = attach_new<Linear>(*this, gpt_decoder, width, settings.vocabulary, type, false);
  for (auto& entry : named_parameters()) {
    const bool shared = settings.tied && entry.key() == gpt_decoder_weight;
    initialize_as(entry.value(), shared ? gpt_word_table : entry.key(), settings.seed);
  }
}

at::Tensor GptReadout::classify(const at::Tensor& rows, const ForwardContext& context) const {
  return decoder_->forward(norm_->forward(rows), context);
}

// Look-ups cost no product, and of the sum nothing is saved but a dropout mask.
Costs gpt_embedding_costs(const GptSettings& settings, int64_t samples) {
  const int64_t width = settings.block.width, number = settings.block.numbers.parameter_bytes();
  const int64_t tokens = samples * settings.length, row = tokens * width * number;
  const int64_t places = settings.max_length * width * number;
  Costs costs;
  costs.parameters = (settings.vocabulary + settings.max_length) * width;
  if (settings.embedding_dropout > 0) costs.activation_bytes = tokens * width;
  // The gradient of the sum; and of the table of places one as large as the table, which is not looked up. That of the
  // words is added row by row.
  costs.working_bytes = costs.kept_working_bytes = row + places;
  costs.recorded_bytes = row + places;
  costs.forward_working_bytes = 3 * row;  // the words, their sum with the places, and what dropout makes of it
  return costs;
}

namespace {

// As a copy of another stage's it is not trained, keeps no input of the product, and makes its own copy of the decoder
// in the product's type.
Costs reading_costs(const GptSettings& settings, int64_t samples, bool trained) {
  const int64_t width = settings.block.width;
  const double rows = settings.predicted_rows(samples);
  const Numbers& numbers = settings.block.numbers;
  Costs costs = linear_head_costs(width, settings.vocabulary, rows, numbers);
  costs.parameters -= settings.vocabulary;  // no bias
  costs.product_copy_bytes -= settings.vocabulary * numbers.copy_bytes();
  if (trained) return costs;
  costs.weight_gradient_flops = 0;
  costs.copied = costs.parameters;
  costs.parameters = costs.product_copy_bytes = 0;
  const auto row_bytes = static_cast<int64_t>(rows * static_cast<double>(width * numbers.hidden_bytes()));
  costs.activation_bytes -= row_bytes;
  costs.working_bytes = width * settings.vocabulary * numbers.copy_bytes() + row_bytes;
  return costs;
}

}  // namespace

Costs gpt_readout_costs(const GptSettings& settings, int64_t samples) { return reading_costs(settings, samples, true); }

Costs gpt_head_costs(const GptSettings& settings, const std::string& kind, int64_t samples) {
  const TransformerShape& shape = settings.block;
  if (kind == "shared_readout")
    return costs_above_a_block(reading_costs(settings, samples, false), shape, samples, settings.length);
  const Costs linear =
      linear_head_costs(shape.width, settings.classes, settings.predicted_rows(samples), shape.numbers);
  return kind == "linear" ? linear : costs_above_a_block(linear, shape, samples, settings.length);
}

}  // namespace interlock
