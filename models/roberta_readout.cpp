// Owns RoBERTa's readouts.
#include "models/roberta_readout.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/zeros.h>

#include "models/blocks/dropout.h"
#include "models/blocks/embeddings.h"
#include "models/blocks/functions.h"
#include "models/blocks/keyed.h"

namespace interlock {

RobertaRows::RobertaRows(const RobertaSettings& settings) {
  if (settings.pre_norm())
    final_norm_ = attach_new<LayerNorm>(*this, settings.root() + ".LayerNorm", settings.block.width,
                                        settings.block.numbers.parameters, settings.block.norm_epsilon);
}

at::Tensor RobertaRows::classify(const at::Tensor& rows, const ForwardContext& context) const {
  return classify_normed(final_norm_ ? final_norm_->forward(rows) : rows, context);
}

RobertaReadout::RobertaReadout(const RobertaSettings& settings) : RobertaRows(settings) {
  const int64_t width = settings.block.width;
  const at::ScalarType type = settings.block.numbers.parameters;
  dense_ = attach_new<Linear>(*this, "lm_head.dense", width, width, type);
  norm_ = attach_new<LayerNorm>(*this, "lm_head.layer_norm", width, type, settings.block.norm_epsilon);
  decoder_ = attach_new<Linear>(*this, "lm_head.decoder", width, settings.vocabulary, type, false);
  bias_ = named_children()["lm_head"]->register_parameter("bias", at::zeros({settings.vocabulary}, type));
  for (auto& entry : named_parameters()) {
    const bool shared = settings.tied && entry.key() == decoder_weight;
    initialize_as(entry.value(), shared ? settings.word_table() : entry.key(), settings.seed);
  }
  if (settings.tied) clear_padding_row(decoder_->weight);
}

at::Tensor RobertaReadout::classify_normed(const at::Tensor& rows, const ForwardContext& context) const {
  return linear(norm_->forward(at::gelu(dense_->forward(rows, context))), decoder_->weight, bias_, context.parameters);
}

RobertaClassifier::RobertaClassifier(const RobertaSettings& settings, uint64_t layer)
    : RobertaRows(settings), dropout_(settings.block.dropout), layer_(layer) {
  const int64_t width = settings.block.width;
  const at::ScalarType type = settings.block.numbers.parameters;
  dense_ = attach_new<Linear>(*this, "classifier.dense", width, width, type);
  out_ = attach_new<Linear>(*this, "classifier.out_proj", width, settings.classes, type);
  initialize(*this, settings.seed);
}

at::Tensor RobertaClassifier::classify_normed(const at::Tensor& rows, const ForwardContext& context) const {
  const at::Tensor kept = keyed_dropout(rows, dropout_, layer_, Site::readout_input, context);
  const at::Tensor hidden = at::tanh(dense_->forward(kept, context));
  return out_->forward(keyed_dropout(hidden, dropout_, layer_, Site::readout_hidden, context), context);
}

std::shared_ptr<RobertaRows> make_readout(const RobertaSettings& settings, uint64_t layer) {
  if (settings.objective == Objective::masked) return std::make_shared<RobertaReadout>(settings);
  return std::make_shared<RobertaClassifier>(settings, layer);
}

}  // namespace interlock
