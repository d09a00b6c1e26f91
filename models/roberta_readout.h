#pragma once
// What reads RoBERTa's hidden state: its own readout, and the local head that reads through a copy of it.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "models/blocks/heads.h"
#include "models/blocks/keyed.h"
#include "models/roberta_settings.h"

namespace interlock {

// lm_head: dense - GELU - norm - decoder. The decoder's bias belongs to lm_head itself, as one tensor. Tied, the
// decoder starts as the word table does.
class RobertaReadout : public RowHead {
 public:
  explicit RobertaReadout(const RobertaSettings& settings);
  at::Tensor classify(const at::Tensor& rows, const ForwardContext& context) const override;

 private:
  std::shared_ptr<Linear> dense_, decoder_;
  std::shared_ptr<LayerNorm> norm_;
  at::Tensor bias_;
};

// One Transformer block <place>.block.*, which is trained, and then a copy of the readout, which is not:
// a loss without a vocabulary matrix of its own.
class SharedReadoutHead : public RowHead {
 public:
  SharedReadoutHead(const RobertaSettings& settings, const HeadPlace& place);
  std::vector<std::pair<std::string, at::Tensor>> readout_copies() override;

 protected:
  at::Tensor prepare(const at::Tensor& hidden, const ForwardContext& context) const override;
  at::Tensor classify(const at::Tensor& rows, const ForwardContext& context) const override;

 private:
  std::shared_ptr<TransformerBlock> block_;
  std::shared_ptr<RobertaReadout> copy_;  // not registered: its tensors are no parameters of this head
};

}  // namespace interlock
