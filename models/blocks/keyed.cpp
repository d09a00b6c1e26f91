// Owns keyed dropout and keyed start values.
#include "models/blocks/keyed.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <cassert>
#include <cmath>

#include "runtime/core/random.h"

namespace interlock {
namespace {

template <class T>
void fill_masks(at::Tensor& mask, double rate, RandomKey key, const std::vector<int64_t>& samples) {
  T* out = mask.mutable_data_ptr<T>();
  const int64_t count = mask.numel() / mask.size(0);
  for (size_t row = 0; row < samples.size(); ++row) {
    fill_dropout(out + static_cast<int64_t>(row) * count, count, rate, key, static_cast<uint64_t>(samples[row]));
  }
}

template <class T>
void fill_matrix(at::Tensor& matrix, double deviation, RandomKey key) {
  fill_normal(matrix.mutable_data_ptr<T>(), matrix.numel(), deviation, key);
}

}  // namespace

at::Tensor keyed_dropout(const at::Tensor& x, double rate, uint64_t layer, Site site, const ForwardContext& context) {
  if (rate == 0 || !context.training) return x;
  const auto& samples = context.batch->sample_ids;
  assert(static_cast<int64_t>(samples.size()) == x.size(0));
  const Purpose purpose = site == Site::attention_probabilities ? Purpose::attention_dropout : Purpose::dropout;
  const RandomKey key =
      random_key(context.seed, purpose, static_cast<uint64_t>(context.step), layer, static_cast<uint64_t>(site));
  at::Tensor mask = at::empty(x.sizes(), x.options().requires_grad(false));
  if (x.scalar_type() == at::kDouble) {
    fill_masks<double>(mask, rate, key, samples);
  } else {
    fill_masks<float>(mask, rate, key, samples);
  }
  return x * mask;
}

void initialize(torch::nn::Module& module, uint64_t seed, const Initial& initial) {
  const at::NoGradGuard no_grad;
  for (auto& entry : module.named_parameters()) {
    at::Tensor& values = entry.value();
    if (values.dim() == 1) {
      const bool is_bias = entry.key().ends_with("bias");
      values.fill_(is_bias ? 0.0 : 1.0);
      continue;
    }
    const RandomKey key = random_key(seed, Purpose::initial_value, entry.key());
    const double fan_in = static_cast<double>(values.numel() / values.size(0));
    const double deviation = initial.fan_in_gain > 0 ? std::sqrt(initial.fan_in_gain / fan_in) : initial.deviation;
    if (values.scalar_type() == at::kDouble) {
      fill_matrix<double>(values, deviation, key);
    } else {
      fill_matrix<float>(values, deviation, key);
    }
  }
}

}  // namespace interlock
