// Owns the small layer modules and the registration of modules under global names.
#include "models/blocks/layers.h"

#include <ATen/ops/empty.h>

#include "models/blocks/functions.h"
#include "models/blocks/norm.h"
#include "runtime/core/error.h"

namespace interlock {

Linear::Linear(int64_t inputs, int64_t outputs, at::ScalarType type, bool with_bias) {
  weight = register_parameter("weight", at::empty({outputs, inputs}, type));
  if (with_bias) bias = register_parameter("bias", at::empty({outputs}, type));
}

at::Tensor Linear::forward(const at::Tensor& x, const ForwardContext& context) const {
  if (inserted_.empty()) return linear(x, weight, bias, context.parameters);
  return forward_with_insertions(x, context);
}

at::Tensor Linear::forward_with_insertions(const at::Tensor& x, const ForwardContext& context) const {
  at::Tensor used = weight;
  for (const auto& insertion : inserted_) used = insertion->weight(used, context);
  at::Tensor y = linear(x, used, bias, context.parameters);
  for (const auto& insertion : inserted_) y = insertion->after(x, y, {}, context);
  return y;
}

LayerNorm::LayerNorm(int64_t width, at::ScalarType type, double added) : epsilon(added) {
  weight = register_parameter("weight", at::empty({width}, type));
  bias = register_parameter("bias", at::empty({width}, type));
}

at::Tensor LayerNorm::forward(const at::Tensor& x) const { return layer_norm(x, weight, bias, epsilon); }

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

void attach_insertion(torch::nn::Module& root, const InsertionSite& site, Insertion& insertion) {
  for (const auto& child : insertion.named_children()) attach(root, site.name + "." + child.key(), child.value());
}

void begin_insertions(torch::nn::Module& root) {
  root.apply([](torch::nn::Module& module) {
    if (const auto* layer = dynamic_cast<const Linear*>(&module))
      for (const auto& insertion : layer->inserted()) insertion->begin(layer->weight);
  });
}

void Body::insert(const InsertionSite& site, std::shared_ptr<Insertion>) {
  throw Error(ExitCode::gave_up, message("this model has no site ", site.name, ": a mistake of the model"));
}

}  // namespace interlock
