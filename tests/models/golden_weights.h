#pragma once
// Weights by the formula of tests/golden/transformer_weights.py, and gradients held against a golden file.

#include <torch/nn/module.h>

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace interlock::tests {

// Whether the files hold a matrix the other way round: of which every entry is made, and compared, in their order.
using IsTurned = std::function<bool(const std::string& name, const at::Tensor& values)>;

void fill_with_golden_weights(torch::nn::Module& module, const IsTurned& is_turned = {});

// `golden`: by name, the entries of every gradient. Each of ours is within `share` of the largest entry there, or of
// what `scale_of` says where that is not 0. Both have the same names.
void expect_gradients(const std::vector<const torch::nn::Module*>& parts, const nlohmann::json& golden, double share,
                      const std::function<double(const std::string& name)>& scale_of = {},
                      const IsTurned& is_turned = {});

}  // namespace interlock::tests
