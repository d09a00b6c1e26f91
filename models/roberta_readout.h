#pragma once
// What reads RoBERTa's hidden state.

#include <memory>

#include "models/blocks/heads.h"
#include "models/roberta_settings.h"

namespace interlock {

// A readout by rows. Of a pre-norm network it begins with the norm behind the last block, <root>.LayerNorm.
class RobertaRows : public RowHead {
 public:
  explicit RobertaRows(const RobertaSettings& settings);
  at::Tensor classify(const at::Tensor& rows, const ForwardContext& context) const final;

 protected:
  virtual at::Tensor classify_normed(const at::Tensor& rows, const ForwardContext& context) const = 0;

 private:
  std::shared_ptr<LayerNorm> final_norm_;  // of a pre-norm network
};

// The readout of the settings' objective; `layer` keys the draws of one with dropout.
std::shared_ptr<RobertaRows> make_readout(const RobertaSettings& settings, uint64_t layer);

// lm_head: dense - GELU - norm - decoder. The decoder's bias belongs to lm_head itself, as one tensor. Tied, the
// decoder starts as the word table does.
class RobertaReadout : public RobertaRows {
 public:
  explicit RobertaReadout(const RobertaSettings& settings);

 protected:
  at::Tensor classify_normed(const at::Tensor& rows, const ForwardContext& context) const override;

 private:
  std::shared_ptr<Linear> dense_, decoder_;
  std::shared_ptr<LayerNorm> norm_;
  at::Tensor bias_;
};

// classifier: dropout - dense - tanh - dropout - out_proj, on the first token. Hugging Face's
// RobertaForSequenceClassification.
class RobertaClassifier : public RobertaRows {
 public:
  RobertaClassifier(const RobertaSettings& settings, uint64_t layer);

 protected:
  at::Tensor classify_normed(const at::Tensor& rows, const ForwardContext& context) const override;

 private:
  std::shared_ptr<Linear> dense_, out_;
  double dropout_;
  uint64_t layer_;
};

}  // namespace interlock
