#include "models/blocks/residual.h"

#include <ATen/ops/max_pool2d.h>

#include <string>

#include "models/blocks/layers.h"

namespace interlock {
namespace {

constexpr int64_t pool_kernel = 3, pool_stride = 2, pool_padding = 1;

int64_t pooled(int64_t size) { return (size + 2 * pool_padding - pool_kernel) / pool_stride + 1; }

}  // namespace

std::vector<ConvolutionShape> ResidualShape::convolutions() const {
  if (bottleneck) return {{inputs, width, 1, 1, 0}, {width, width, 3, stride, 1}, {width, outputs(), 1, 1, 0}};
  return {{inputs, width, 3, stride, 1}, {width, width, 3, 1, 1}};
}

ResidualBlock::ResidualBlock(const ResidualShape& shape, const ChannelNormKind& norm, at::ScalarType type) {
  for (const ConvolutionShape& one : shape.convolutions()) {
    const std::string number = std::to_string(convolutions_.size() + 1);
    convolutions_.push_back(register_module("conv" + number, std::make_shared<Convolution>(one, type)));
    norms_.push_back(register_module("bn" + number, make_channel_norm(norm, one.outputs, type)));
  }
  if (!shape.projects()) return;
  projection_ = attach_new<Convolution>(*this, "downsample.0", shape.projection(), type);
  projection_norm_ = make_channel_norm(norm, shape.outputs(), type);
  attach(*this, "downsample.1", projection_norm_);
}

// Norms do not need what they made, so that the sum and ReLU may be written over it.
at::Tensor ResidualBlock::forward(const at::Tensor& x, const ForwardContext& context) const {
  at::Tensor y = x;
  for (size_t i = 0; i < convolutions_.size(); ++i) {
    if (i > 0) y = y.relu_();
    y = norms_[i]->forward(convolutions_[i]->forward(y, context), context);
  }
  if (!projection_) return y.add_(x).relu_();
  return y.add_(projection_norm_->forward(projection_->forward(x, context), context)).relu_();
}

ConvolutionShape StemShape::convolution() const {
  return pools ? ConvolutionShape{inputs, width, 7, 2, 3} : ConvolutionShape{inputs, width, 3, 1, 1};
}

ImageShape StemShape::convolved(const ImageShape& image) const {
  return {width, convolution().size_of(image.height), convolution().size_of(image.width)};
}

ImageShape StemShape::result(const ImageShape& image) const {
  const ImageShape made = convolved(image);
  return pools ? ImageShape{width, pooled(made.height), pooled(made.width)} : made;
}

Stem::Stem(torch::nn::Module& root, const StemShape& shape, const ChannelNormKind& norm, at::ScalarType type)
    : shape_(shape) {
  convolution_ = attach_new<Convolution>(root, "conv1", shape.convolution(), type);
  norm_ = make_channel_norm(norm, shape.width, type);
  attach(root, "bn1", norm_);
}

at::Tensor Stem::forward(const at::Tensor& images, const ForwardContext& context) const {
  const at::Tensor made = norm_->forward(convolution_->forward(images, context), context).relu_();
  if (!shape_.pools) return made;
  return at::max_pool2d(made, {pool_kernel, pool_kernel}, {pool_stride, pool_stride}, {pool_padding, pool_padding});
}

std::vector<at::Tensor> Stem::parameters() const {
  std::vector<at::Tensor> all = convolution_->parameters();
  for (const at::Tensor& one : norm_->parameters()) all.push_back(one);
  return all;
}

}  // namespace interlock
