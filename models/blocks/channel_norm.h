#pragma once
// Norms over the channels of images: batch norm with running statistics, and group norm.

#include <torch/nn/module.h>

#include <memory>
#include <string>

#include "models/model.h"

namespace interlock {

struct ChannelNormKind {
  bool batch = true;
  int64_t groups = 32;  // of group norm: as many, or as there are channels where these are fewer
};

class ChannelNorm : public torch::nn::Module {
 public:
  // x [samples, channels, ...] normalised, times weight, plus bias.
  virtual at::Tensor forward(const at::Tensor& x, const ForwardContext& context) = 0;
  at::Tensor weight, bias;  // [channels]

 protected:
  ChannelNorm(int64_t channels, at::ScalarType type);
};

std::shared_ptr<ChannelNorm> make_channel_norm(const ChannelNormKind& kind, int64_t channels, at::ScalarType type);

}  // namespace interlock
