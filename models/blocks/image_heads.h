#pragma once
// Readouts of images [samples, channels, height, width]: what pools them to one row per sample, and what scores it.

#include <memory>
#include <string>
#include <vector>

#include "models/blocks/channel_norm.h"
#include "models/blocks/convolution.h"
#include "models/blocks/heads.h"
#include "runtime/data/image_shape.h"

namespace interlock {

// The mean over height and width, and a linear layer at `path`.
class PooledReadout : public RowHead {
 public:
  PooledReadout(const std::string& path, int64_t channels, int64_t classes, at::ScalarType type);

 protected:
  at::Tensor prepare(const at::Tensor& hidden, const ForwardContext& context) const override;
  at::Tensor classify(const at::Tensor& rows, const ForwardContext& context) const override;

 private:
  std::shared_ptr<Linear> linear_;
};

// An auxiliary net as a sequence of layers, numbered as torch.nn.Sequential numbers them: convolutions with a norm and
// ReLU each, a pool to few places, then linear layers, all but the last with a norm and ReLU. Parameters are
// heads.<units below>.<number in the sequence>.*.
struct SequenceShape {
  // Of the input: 0: none; else first the mean over cells, so that ceil(size / shrink) are left a side.
  int64_t shrink = 0;
  std::vector<ConvolutionShape> convolutions;
  int64_t places = 1;           // that the second pool leaves a side; in each every channel is a feature
  std::vector<int64_t> hidden;  // widths of the linear layers below the last
};

class SequenceHead : public RowHead {
 public:
  SequenceHead(const std::string& path, const SequenceShape& shape, const ChannelNormKind& norm, int64_t classes,
               at::ScalarType type);

 protected:
  at::Tensor prepare(const at::Tensor& hidden, const ForwardContext& context) const override;
  at::Tensor classify(const at::Tensor& rows, const ForwardContext& context) const override;

 private:
  SequenceShape shape_;
  std::vector<std::shared_ptr<Convolution>> convolutions_;
  std::vector<std::shared_ptr<Linear>> linears_;
  std::vector<std::shared_ptr<ChannelNorm>> norms_;  // of the convolutions, then of the linear layers
};

// The auxiliary net of the interlocking paper's ResNets, conv128_bn_conv64_bn_gbpl_fc: 3x3 to 128 channels and 3x3 to
// 64, with biases, the mean over the image, a linear layer (numbers 0, 1, 3, 4, 8).
SequenceShape paper_head(int64_t channels);
// DGL's (Belilovsky et al., 2020): pooled to a quarter a side, three 1x1 convolutions, pooled to 2 x 2, and an MLP of
// three layers (numbers 1, 2, 4, 5, 7, 8, 12, 13, 15, 16, 18).
SequenceShape dgl_head(int64_t channels);

}  // namespace interlock
