#include "models/blocks/image_heads.h"

#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/matmul.h>

#include <algorithm>

namespace interlock {
namespace {

// Its backward is the same on every kind of device, which that of an adaptive pool to one place is not.
at::Tensor mean_over_places(const at::Tensor& images) { return images.mean({2, 3}); }

// [pooled, size]: the share that each place has in each mean, as an adaptive pool takes them.
at::Tensor shares_of_places(int64_t pooled, int64_t size, const at::TensorOptions& options) {
  const auto whole = options.dtype(at::kLong);
  const at::Tensor mean = at::arange(pooled, whole).unsqueeze(1), place = at::arange(size, whole);
  const at::Tensor begin = mean.mul(size).floor_divide(pooled);
  const at::Tensor end = mean.add(1).mul(size).add(pooled - 1).floor_divide(pooled);
  return place.ge(begin).logical_and(place.lt(end)).to(options).div(end.sub(begin));
}

// On a GPU as two products: the library's way back adds up in any order there.
at::Tensor average_pool(const at::Tensor& images, int64_t height, int64_t width) {
  if (!images.is_cuda()) return at::adaptive_avg_pool2d(images, {height, width});
  const at::TensorOptions options = images.options().requires_grad(false);
  const at::Tensor rows = shares_of_places(height, images.size(2), options);
  const at::Tensor columns = shares_of_places(width, images.size(3), options);
  return at::matmul(at::matmul(rows, images.contiguous()), columns.t());
}

int64_t shrunk(int64_t size, int64_t by) { return (size + by - 1) / by; }

}  // namespace

PooledReadout::PooledReadout(const std::string& path, int64_t channels, int64_t classes, at::ScalarType type) {
  linear_ = attach_new<Linear>(*this, path, channels, classes, type);
}

at::Tensor PooledReadout::prepare(const at::Tensor& hidden, const ForwardContext&) const {
  return mean_over_places(hidden);
}

at::Tensor PooledReadout::classify(const at::Tensor& rows, const ForwardContext& context) const {
  return linear_->forward(rows, context);
}

SequenceHead::SequenceHead(const std::string& path, const SequenceShape& shape, const ChannelNormKind& norm,
                           int64_t classes, at::ScalarType type)
    : shape_(shape) {
  int64_t number = shape.shrink > 0 ? 1 : 0;
  const auto next = [&] { return path + "." + std::to_string(number++); };
  const auto norm_and_relu = [&](int64_t channels, const ChannelNormKind& kind) {
    norms_.push_back(make_channel_norm(kind, channels, type));
    attach(*this, next(), norms_.back());
    ++number;
  };
  for (const ConvolutionShape& one : shape.convolutions) {
    convolutions_.push_back(attach_new<Convolution>(*this, next(), one, type));
    norm_and_relu(one.outputs, norm);
  }
  // At most as many groups as there are channels, so that each has several features: groups of one would leave nothing
  // of them.
  ChannelNormKind of_features = norm;
  of_features.groups = std::min(norm.groups, shape.convolutions.back().outputs);
  number += 2;  // the pool, and flattening
  int64_t inputs = shape.convolutions.back().outputs * shape.places * shape.places;
  for (const int64_t width : shape.hidden) {
    linears_.push_back(attach_new<Linear>(*this, next(), inputs, width, type));
    norm_and_relu(width, of_features);
    inputs = width;
  }
  linears_.push_back(attach_new<Linear>(*this, next(), inputs, classes, type));
}

at::Tensor SequenceHead::prepare(const at::Tensor& hidden, const ForwardContext& context) const {
  at::Tensor y = hidden;
  if (shape_.shrink > 0) y = average_pool(y, shrunk(y.size(2), shape_.shrink), shrunk(y.size(3), shape_.shrink));
  for (size_t i = 0; i < convolutions_.size(); ++i)
    y = norms_[i]->forward(convolutions_[i]->forward(y, context), context).relu_();
  if (shape_.places == 1) return mean_over_places(y);
  return average_pool(y, shape_.places, shape_.places).flatten(1);
}

at::Tensor SequenceHead::classify(const at::Tensor& rows, const ForwardContext& context) const {
  at::Tensor y = rows;
  for (size_t i = 0; i + 1 < linears_.size(); ++i)
    y = norms_[convolutions_.size() + i]->forward(linears_[i]->forward(y, context), context).relu_();
  return linears_.back()->forward(y, context);
}

SequenceShape paper_head(int64_t channels) {
  constexpr int64_t wide = 128, narrow = 64;
  return {.convolutions = {{channels, wide, 3, 1, 1, true}, {wide, narrow, 3, 1, 1, true}}, .hidden = {}};
}

SequenceShape dgl_head(int64_t channels) {
  constexpr int64_t places = 2;
  const int64_t features = channels * places * places;
  return {.shrink = 4,
          .convolutions = std::vector<ConvolutionShape>(3, {channels, channels, 1, 1, 0}),
          .places = places,
          .hidden = {features, features}};
}

}  // namespace interlock
