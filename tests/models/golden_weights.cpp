#include "tests/models/golden_weights.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "tests/models/support.h"

namespace interlock::tests {
namespace {

// FNV-1a of the name, a Weyl step per element, murmur3's finalizer.
double formula(const std::string& name, uint32_t i) {
  uint32_t hash = 2166136261u;
  for (const unsigned char byte : name) hash = (hash ^ byte) * 16777619u;
  uint32_t x = hash + i * 0x9E3779B9u;
  x = (x ^ (x >> 16)) * 0x85EBCA6Bu;
  x = (x ^ (x >> 13)) * 0xC2B2AE35u;
  x ^= x >> 16;
  return ((x >> 8) * 0x1p-24 - 0.5) * 0.5;
}

}  // namespace

void fill_with_golden_weights(torch::nn::Module& module, const IsTurned& is_turned) {
  const at::NoGradGuard no_grad;
  for (auto& entry : module.named_parameters()) {
    at::Tensor& parameter = entry.value();
    const double offset = parameter.dim() == 1 && entry.key().ends_with("weight") ? 1.0 : 0.0;
    std::vector<double> values;
    for (int64_t i = 0; i < parameter.numel(); ++i)
      values.push_back(offset + formula(entry.key(), static_cast<uint32_t>(i)));
    const at::Tensor flat = at::tensor(values);
    parameter.copy_(is_turned && is_turned(entry.key(), parameter)
                        ? flat.view({parameter.size(1), parameter.size(0)}).t()
                        : flat.view(parameter.sizes()));
  }
}

void expect_gradients(const std::vector<const torch::nn::Module*>& parts, const nlohmann::json& golden, double share,
                      const std::function<double(const std::string& name)>& scale_of, const IsTurned& is_turned) {
  auto expected = golden.get<std::map<std::string, std::vector<double>>>();
  for (const torch::nn::Module* part : parts)
    for (const auto& entry : part->named_parameters()) {
      const std::string& name = entry.key();
      ASSERT_EQ(expected.count(name), 1u) << name;
      const auto& truth = expected[name];
      const at::Tensor gradient = entry.value().grad();
      const bool turned = is_turned && is_turned(name, gradient);
      const double own_scale = scale_of ? scale_of(name) : 0;
      EXPECT_LT(largest_difference(listed(turned ? gradient.t().contiguous() : gradient), truth),
                (own_scale > 0 ? own_scale : largest(truth)) * share)
          << name;
      expected.erase(name);
    }
  EXPECT_TRUE(expected.empty()) << "a parameter of the golden file that we lack: " << expected.begin()->first;
}

}  // namespace interlock::tests
