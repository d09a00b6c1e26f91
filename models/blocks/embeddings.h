#pragma once
// What stands before block 0 of RoBERTa: word, position and token-type embeddings, their sum's norm, and dropout.

#include <torch/nn/module.h>

#include <memory>

#include "models/blocks/layers.h"
#include "models/model.h"

namespace interlock {

class RobertaEmbeddings : public torch::nn::Module {
 public:
  RobertaEmbeddings(int64_t vocabulary, int64_t max_length, int64_t width, double dropout, at::ScalarType type);
  // tokens [samples, length] -> [samples, length, width].
  at::Tensor forward(const at::Tensor& tokens, const ForwardContext& context) const;
  // Rows that never learn start at zero: call after initialize().
  void clear_padding_rows();

 private:
  at::Tensor positions(const at::Tensor& tokens, const ForwardContext& context) const;

  double dropout_;
  std::shared_ptr<Embedding> words_, positions_, types_;
  std::shared_ptr<LayerNorm> norm_;
};

}  // namespace interlock
