#pragma once
// The keys of [model] for "gpt", checked against the data; names as Hugging Face's GPT2LMHeadModel has them.

#include "models/transformer_settings.h"

namespace interlock {

struct GptSettings : TransformerSettings {
  double embedding_dropout = 0.1;

  std::string layer_path(int64_t layer) const { return "transformer.h." + std::to_string(layer); }
  static GptSettings from(const ModelSettings& given);
};

inline constexpr const char *gpt_root = "transformer", *gpt_word_table = "transformer.wte.weight",
                            *gpt_final_norm = "transformer.ln_f", *gpt_decoder = "lm_head",
                            *gpt_decoder_weight = "lm_head.weight";

}  // namespace interlock
