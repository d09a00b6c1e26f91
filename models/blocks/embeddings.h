#pragma once
// What stands before block 0 of RoBERTa: word, position and token-type embeddings, their sum's norm, and dropout.

#include <torch/nn/module.h>

#include <memory>

#include "models/blocks/layers.h"
#include "models/blocks/numbers.h"
#include "models/blocks/transformer_body.h"
#include "models/model.h"

namespace interlock {

// Token 1 is padding: its row of a table starts at zero, and a look-up of it has no gradient.
void clear_padding_row(at::Tensor& table);

class RobertaEmbeddings : public TokenEmbeddings {
 public:
  struct Shape {
    int64_t vocabulary, max_length, width;
    int64_t token_types = 1;  // of which the first is everybody's
    double dropout = 0.1, norm_epsilon = 1e-5;
    Numbers numbers = {};
  };
  explicit RobertaEmbeddings(const Shape& shape);
  // tokens [samples, length] -> [samples, length, width].
  at::Tensor forward(const at::Tensor& tokens, const ForwardContext& context) const override;
  // Rows that never learn start at zero: call after initialize().
  void clear_padding_rows();

 private:
  at::Tensor positions(const at::Tensor& tokens, const ForwardContext& context) const;

  double dropout_;
  Numbers numbers_;
  std::shared_ptr<Embedding> words_, positions_, types_;
  std::shared_ptr<LayerNorm> norm_;
};

}  // namespace interlock
