// Owns the small layer modules and the registration of modules under global names.
#include "models/blocks/layers.h"

#include <ATen/ops/empty.h>

#include "models/blocks/functions.h"
#include "models/blocks/norm.h"

namespace interlock {

Linear::Linear(int64_t inputs, int64_t outputs, at::ScalarType type, bool with_bias) {
  weight = register_parameter("weight", at::empty({outputs, inputs}, type));
  if (with_bias) bias = register_parameter("bias", at::empty({outputs}, type));
}

at::Tensor Linear::forward(const at::Tensor& x, const ForwardContext& context) const {
  return linear(x, weight, bias, context.parameters);
}

LayerNorm::LayerNorm(int64_t width, at::ScalarType type) {
  weight = register_parameter("weight", at::empty({width}, type));
  bias = register_parameter("bias", at::empty({width}, type));
}

at::Tensor LayerNorm::forward(const at::Tensor& x) const { return layer_norm(x, weight, bias, norm_epsilon); }

Embedding::Embedding(int64_t rows, int64_t width, at::ScalarType type) {
  weight = register_parameter("weight", at::empty({rows, width}, type));
}

at::Tensor Embedding::forward(const at::Tensor& tokens, int64_t padding, const ForwardContext& context) const {
  return embedding(weight, tokens, padding, context.parameters);
}

void attach(torch::nn::Module& root, const std::string& path, std::shared_ptr<torch::nn::Module> child) {
  const size_t dot = path.find('.');
  if (dot == std::string::npos) {
    root.register_module(path, std::move(child));
    return;
  }
  const std::string name = path.substr(0, dot);
  const auto children = root.named_children();
  const auto* known = children.find(name);
  const auto next = known ? *known : root.register_module(name, std::make_shared<torch::nn::Module>());
  attach(*next, path.substr(dot + 1), std::move(child));
}

}  // namespace interlock
