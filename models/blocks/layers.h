#pragma once
// The parameters of the usual layers as modules, with names as Hugging Face's files have them. Unlike torch::nn's own
// they leave their values unset at construction (initialize() fills them by name), and drag in no header but module.h.

#include <torch/nn/module.h>

#include <memory>
#include <string>
#include <vector>

#include "models/insertion.h"
#include "models/model.h"

namespace interlock {

inline constexpr double norm_epsilon = 1e-5;  // RoBERTa's, GPT-2's and torch's; where nothing else is said

class Linear : public torch::nn::Module {
 public:
  Linear(int64_t inputs, int64_t outputs, at::ScalarType type, bool with_bias = true);
  at::Tensor forward(const at::Tensor& x, const ForwardContext& context) const;
  void insert(std::shared_ptr<Insertion> insertion) { inserted_.push_back(std::move(insertion)); }
  const std::vector<std::shared_ptr<Insertion>>& inserted() const { return inserted_; }

  at::Tensor weight, bias;  // [outputs, inputs], [outputs] (undefined without bias)

 private:
  at::Tensor forward_with_insertions(const at::Tensor& x, const ForwardContext& context) const;

  std::vector<std::shared_ptr<Insertion>> inserted_;
};

class LayerNorm : public torch::nn::Module {
 public:
  LayerNorm(int64_t width, at::ScalarType type, double added = norm_epsilon);
  at::Tensor forward(const at::Tensor& x) const;

  at::Tensor weight, bias;
  const double epsilon;  // added to the variance
};

class Embedding : public torch::nn::Module {
 public:
  Embedding(int64_t rows, int64_t width, at::ScalarType type);
  // Rows of `tokens`; row `padding` is never trained.
  at::Tensor forward(const at::Tensor& tokens, int64_t padding, const ForwardContext& context) const;

  at::Tensor weight;
};

// Registers `child` at a dotted path below `root` ("roberta.encoder.layer.4"), making plain modules along the way, so
// that named_parameters() of a slice gives global names.
void attach(torch::nn::Module& root, const std::string& path, std::shared_ptr<torch::nn::Module> child);

// Registers the children of an insertion below its site.
void attach_insertion(torch::nn::Module& root, const InsertionSite& site, Insertion& insertion);

// Tells the insertions of all linear layers below `root` that training begins.
void begin_insertions(torch::nn::Module& root);

// attach for a module that is made here.
template <class Layer, class... Args>
std::shared_ptr<Layer> attach_new(torch::nn::Module& root, const std::string& path, Args&&... args) {
  auto layer = std::make_shared<Layer>(std::forward<Args>(args)...);
  attach(root, path, layer);
  return layer;
}

}  // namespace interlock
