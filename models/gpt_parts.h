#pragma once
// What stands before and behind the blocks of "gpt".

#include <memory>

#include "models/blocks/heads.h"
#include "models/blocks/transformer_body.h"
#include "models/gpt_settings.h"

namespace interlock {

// wte and wpe: words and learned places from 0 on, summed and dropped out; no norm.
class GptEmbeddings : public TokenEmbeddings {
 public:
  explicit GptEmbeddings(const GptSettings& settings);
  at::Tensor forward(const at::Tensor& tokens, const ForwardContext& context) const override;

 private:
  at::Tensor places(const at::Tensor& tokens, const ForwardContext& context) const;

  double dropout_;
  Numbers numbers_;
  std::shared_ptr<Embedding> words_, places_;
};

// The norm behind the last block and the decoder, which has no bias. Tied, it starts as the word table does.
class GptReadout : public RowHead {
 public:
  explicit GptReadout(const GptSettings& settings);
  at::Tensor classify(const at::Tensor& rows, const ForwardContext& context) const override;

 private:
  std::shared_ptr<LayerNorm> norm_;
  std::shared_ptr<Linear> decoder_;
};

// Per microbatch of `samples`.
Costs gpt_embedding_costs(const GptSettings& settings, int64_t samples);
Costs gpt_readout_costs(const GptSettings& settings, int64_t samples);
Costs gpt_head_costs(const GptSettings& settings, const std::string& kind, int64_t samples);

}  // namespace interlock
