// Owns the settings and the state of optimizers with two moments.
#include "runtime/optimization/moments.h"

#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include "runtime/optimization/presets.h"

namespace interlock {

MomentSettings MomentSettings::from(const Section& section, const MomentSettings& fallback) {
  MomentSettings settings;
  settings.beta1 = section.number("beta1", preset_number(section, "beta1", fallback.beta1), 0.0, 1.0);
  settings.beta2 = section.number("beta2", preset_number(section, "beta2", fallback.beta2), 0.0, 1.0);
  settings.epsilon = section.number("epsilon", preset_number(section, "epsilon", fallback.epsilon), 0.0);
  settings.weight_decay =
      section.number("weight_decay", preset_number(section, "weight_decay", fallback.weight_decay), 0.0);
  // Either would divide zero by zero: 1 - beta^t, or the root of a moment that is still zero.
  if (settings.beta1 == 1.0) section.refuse("beta1", "must be below 1, or no gradient is ever heard");
  if (settings.beta2 == 1.0) section.refuse("beta2", "must be below 1, or no gradient is ever heard");
  if (settings.epsilon == 0.0)
    section.refuse("epsilon", "must be above 0, or a parameter without gradient becomes NaN");
  return settings;
}

std::vector<Moment> zero_moments(const std::vector<Parameter>& parameters) {
  std::vector<Moment> moments;
  moments.reserve(parameters.size());
  for (const Parameter& parameter : parameters) {
    const at::Tensor value = parameter.value.detach();
    moments.push_back({at::zeros_like(value), at::zeros_like(value), at::zeros({}, value.options().dtype(at::kFloat))});
  }
  return moments;
}

void count_update(const std::vector<Moment>& moments) {
  if (moments.empty()) return;
  std::vector<at::Tensor> counts;
  for (const Moment& moment : moments) counts.push_back(moment.count);
  at::_foreach_add_(counts, 1);
}

void HostCounts::advance(const std::vector<Moment>& moments) {
  if (!counts_.empty() && !moments.front().count.is_cpu()) {
    for (double& count : counts_) ++count;
    return;
  }
  counts_.clear();
  for (const Moment& moment : moments) counts_.push_back(moment.count.item<double>());
}

std::vector<std::string> moment_names() { return {"mean", "square", "count"}; }

std::vector<std::vector<at::Tensor>> listed_moments(const std::vector<Moment>& moments) {
  std::vector<std::vector<at::Tensor>> listed;
  listed.reserve(moments.size());
  for (const Moment& moment : moments) listed.push_back({moment.mean, moment.square, moment.count});
  return listed;
}

}  // namespace interlock
