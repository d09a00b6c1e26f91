#include "models/blocks/image_start.h"

#include <ATen/core/grad_mode.h>

#include <cmath>
#include <string>

#include "runtime/core/random.h"

namespace interlock {
namespace {

// Of one output of a kernel or matrix.
double fan_in(const at::Tensor& weight) { return static_cast<double>(weight.numel() / weight.size(0)); }
double fan_out(const at::Tensor& weight) { return static_cast<double>(weight.numel() / weight.size(1)); }

template <class Fill>
void fill(at::Tensor& values, const Fill& act) {
  if (values.scalar_type() == at::kDouble) {
    act(values.mutable_data_ptr<double>());
  } else {
    act(values.mutable_data_ptr<float>());
  }
}

void start(const std::string& name, at::Tensor& values, const at::Tensor& weight, uint64_t seed) {
  const bool is_bias = name.ends_with(".bias");
  if (weight.dim() == 1) {  // of a norm
    values.fill_(is_bias ? 0.0 : 1.0);
    return;
  }
  const RandomKey key = random_key(seed, Purpose::initial_value, name);
  if (weight.dim() == 4 && !is_bias) {
    const double deviation = std::sqrt(2.0 / fan_out(weight));
    return fill(values, [&](auto* out) { fill_normal(out, values.numel(), deviation, key); });
  }
  const double bound = 1.0 / std::sqrt(fan_in(weight));
  fill(values, [&](auto* out) { fill_uniform(out, values.numel(), bound, key); });
}

}  // namespace

void initialize_image_network(torch::nn::Module& module, uint64_t seed) {
  const at::NoGradGuard no_grad;
  auto named = module.named_parameters();
  for (auto& entry : named) {
    const std::string owner = entry.key().substr(0, entry.key().rfind('.'));
    start(entry.key(), entry.value(), named[owner + ".weight"], seed);
  }
}

}  // namespace interlock
