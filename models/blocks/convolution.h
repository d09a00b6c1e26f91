#pragma once
// A convolution over images, whose gradients of weight and bias go to whoever trains.

#include <torch/nn/module.h>

#include "models/model.h"

namespace interlock {

// Numbers of a square kernel; padding keeps the size at stride 1 where it is (kernel - 1) / 2.
struct ConvolutionShape {
  int64_t inputs = 1, outputs = 1;  // channels
  int64_t kernel = 3, stride = 1, padding = 1;
  bool with_bias = false;

  int64_t parameters() const { return outputs * inputs * kernel * kernel + (with_bias ? outputs : 0); }
  int64_t size_of(int64_t size) const { return (size + 2 * padding - kernel) / stride + 1; }  // of height or width
};

class Convolution : public torch::nn::Module {
 public:
  Convolution(const ConvolutionShape& shape, at::ScalarType type);
  // [samples, inputs, height, width] to [samples, outputs, size_of(height), size_of(width)].
  at::Tensor forward(const at::Tensor& x, const ForwardContext& context) const;

  at::Tensor weight, bias;  // [outputs, inputs, kernel, kernel], [outputs] (undefined without bias)

 private:
  ConvolutionShape shape_;
};

}  // namespace interlock
