#pragma once
// The keys of [model] for "roberta", checked against the data.

#include "models/transformer_settings.h"

namespace interlock {

inline const std::string decoder_weight = "lm_head.decoder.weight";

struct RobertaSettings : TransformerSettings {
  int64_t token_types = 1;  // rows of their table; every token is of type 0
  bool pre_norm() const { return block.design->pre_norm; }
  // What Hugging Face call the encoder, and the tensors that others speak of.
  std::string root() const;
  std::string layer_path(int64_t layer) const;
  std::string word_table() const;
  static RobertaSettings from(const ModelSettings& given);
};

}  // namespace interlock
