// Owns keyed start values.
#include "models/blocks/keyed.h"

#include <ATen/core/grad_mode.h>

#include <cmath>

#include "runtime/core/random.h"

namespace interlock {

void initialize_as(at::Tensor& values, const std::string& name, uint64_t seed, const Initial& initial) {
  const at::NoGradGuard no_grad;
  if (values.dim() == 1) {
    values.fill_(name.ends_with("bias") ? 0.0 : 1.0);
    return;
  }
  const RandomKey key = random_key(seed, Purpose::initial_value, name);
  const double fan_in = static_cast<double>(values.numel() / values.size(0));
  const double deviation = initial.fan_in_gain > 0 ? std::sqrt(initial.fan_in_gain / fan_in) : initial.deviation;
  if (values.scalar_type() == at::kDouble) {
    fill_normal(values.mutable_data_ptr<double>(), values.numel(), deviation, key);
  } else {
    fill_normal(values.mutable_data_ptr<float>(), values.numel(), deviation, key);
  }
}

void initialize(torch::nn::Module& module, uint64_t seed, const Initial& initial) {
  for (auto& entry : module.named_parameters()) initialize_as(entry.value(), entry.key(), seed, initial);
}

}  // namespace interlock
