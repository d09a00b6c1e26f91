#pragma once
// What a technique adds to a network. Blocks ask what stands at their sites; where nothing does, nothing is asked.

#include <torch/nn/module.h>

#include <cstdint>
#include <functional>
#include <string>

#include "models/costs.h"
#include "models/insertion_site.h"

namespace interlock {

struct ForwardContext;

// Its children are registered below the site: a child "lora_A" of an insertion at X has the global name X.lora_A. Made
// anew for every slice that is built.
class Insertion : public torch::nn::Module {
 public:
  using Norm = std::function<at::Tensor(const at::Tensor&)>;

  // Of a linear layer: what the product uses in place of `weight` [outputs, inputs].
  virtual at::Tensor weight(const at::Tensor& weight, const ForwardContext&) { return weight; }
  // What follows `y`, which was made of `x`; of y's shape. Of a linear layer x is its input; of a sub-layer the
  // residual that y is going to join and `norm` what follows then; of a layer x is undefined, since a layer may be cut
  // in two.
  virtual at::Tensor after(const at::Tensor& /*x*/, const at::Tensor& y, const Norm&, const ForwardContext&) {
    return y;
  }
  // The start value of a parameter of this global name; called once, under no graph.
  virtual void start(at::Tensor& value, const std::string& name, uint64_t seed) const = 0;
  // Of a linear layer: called once before training, when `weight` and the insertion's own parameters hold what training
  // starts from, or goes on with.
  virtual void begin(const at::Tensor& /*weight*/) {}
  // What it adds to the site's unit, for so many rows (tokens of a microbatch).
  virtual Costs costs(int64_t rows) const = 0;
};

}  // namespace interlock
