#pragma once
// The blocks of a residual network (He et al., 2015) and its stem, with the names of torchvision's ResNet.

#include <torch/nn/module.h>

#include <memory>
#include <vector>

#include "models/blocks/channel_norm.h"
#include "models/blocks/convolution.h"
#include "runtime/data/image_shape.h"

namespace interlock {

struct ResidualShape {
  bool bottleneck = false;  // 1x1, 3x3, 1x1 to four times the width; else 3x3, 3x3
  int64_t inputs = 16, width = 16, stride = 1;

  static constexpr int64_t expansion = 4;
  int64_t outputs() const { return bottleneck ? expansion * width : width; }
  // The shortcut is a 1x1 convolution where it cannot be the input itself.
  bool projects() const { return stride != 1 || inputs != outputs(); }
  // The convolutions in turn, without the shortcut's. The stride stands at the 3x3, as torchvision has it.
  std::vector<ConvolutionShape> convolutions() const;
  ConvolutionShape projection() const { return {inputs, outputs(), 1, stride, 0}; }
};

class ResidualBlock : public torch::nn::Module {
 public:
  ResidualBlock(const ResidualShape& shape, const ChannelNormKind& norm, at::ScalarType type);
  // [samples, inputs, height, width] to [samples, outputs, height / stride, width / stride], rounded up.
  at::Tensor forward(const at::Tensor& x, const ForwardContext& context) const;
  // The norm before the sum: with a weight of 0 the block begins as its shortcut.
  ChannelNorm& last_norm() const { return *norms_.back(); }

 private:
  std::vector<std::shared_ptr<Convolution>> convolutions_;  // conv1, conv2, ...
  std::vector<std::shared_ptr<ChannelNorm>> norms_;         // bn1, bn2, ...
  std::shared_ptr<Convolution> projection_;                 // downsample.0; null: the shortcut is the input
  std::shared_ptr<ChannelNorm> projection_norm_;            // downsample.1
};

struct StemShape {
  bool pools = false;  // ImageNet's: 7x7 with stride 2 and a maximum over 3x3 with stride 2; else 3x3
  int64_t inputs = 3, width = 16;

  ConvolutionShape convolution() const;
  // Behind the convolution, and behind the stem.
  ImageShape convolved(const ImageShape& image) const;
  ImageShape result(const ImageShape& image) const;
};

// conv1 and bn1, which it registers below `root`.
class Stem {
 public:
  Stem(torch::nn::Module& root, const StemShape& shape, const ChannelNormKind& norm, at::ScalarType type);
  at::Tensor forward(const at::Tensor& images, const ForwardContext& context) const;
  std::vector<at::Tensor> parameters() const;

 private:
  StemShape shape_;
  std::shared_ptr<Convolution> convolution_;
  std::shared_ptr<ChannelNorm> norm_;
};

}  // namespace interlock
