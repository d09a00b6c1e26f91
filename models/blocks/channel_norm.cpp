// Batch norm as torch.nn.BatchNorm2d has it: in training the statistics of the microbatch, elsewhere the running ones,
// which every forward pass in training moves by a tenth towards its own (the variance without bias), recomputed ones
// excepted.
#include "models/blocks/channel_norm.h"

#include <ATen/ops/batch_norm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/group_norm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <string>

#include "models/blocks/layers.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

constexpr double momentum = 0.1;

class BatchNorm : public ChannelNorm {
 public:
  BatchNorm(int64_t channels, at::ScalarType type) : ChannelNorm(channels, type) {
    mean_ = register_buffer("running_mean", at::zeros({channels}, type));
    variance_ = register_buffer("running_var", at::ones({channels}, type));
  }

  at::Tensor forward(const at::Tensor& x, const ForwardContext& context) override {
    if (context.training && x.numel() == x.size(1)) {
      const std::string of = x.dim() > 2 ? message(" channels of ", x.sizes().slice(2)) : std::string(" features");
      throw Error(
          ExitCode::config,
          message("model.norm = \"batch\" takes the variance of each channel over a microbatch, and there is one "
                  "number in it where ",
                  x.size(1), of, " are left: parallel.microbatch_size must be at least 2 (or write norm = \"group\")"));
    }
    const bool counts = !context.training || !context.recomputed;
    return at::batch_norm(x, weight, bias, counts ? std::optional(mean_) : std::nullopt,
                          counts ? std::optional(variance_) : std::nullopt, context.training, momentum, norm_epsilon,
                          x.is_cuda());
  }

 private:
  at::Tensor mean_, variance_;
};

class GroupNorm : public ChannelNorm {
 public:
  GroupNorm(int64_t groups, int64_t channels, at::ScalarType type)
      : ChannelNorm(channels, type), groups_(std::min(groups, channels)) {}
  at::Tensor forward(const at::Tensor& x, const ForwardContext&) override {
    return at::group_norm(x, groups_, weight, bias, norm_epsilon, x.is_cuda());
  }

 private:
  int64_t groups_;
};

}  // namespace

ChannelNorm::ChannelNorm(int64_t channels, at::ScalarType type) {
  weight = register_parameter("weight", at::empty({channels}, type));
  bias = register_parameter("bias", at::empty({channels}, type));
}

std::shared_ptr<ChannelNorm> make_channel_norm(const ChannelNormKind& kind, int64_t channels, at::ScalarType type) {
  if (kind.batch) return std::make_shared<BatchNorm>(channels, type);
  return std::make_shared<GroupNorm>(kind.groups, channels, type);
}

}  // namespace interlock
