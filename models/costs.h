#pragma once
// What a piece of a model costs, as plain numbers: enough to cut it into stages and to simulate a plan. Torch-free.

#include <cstdint>

namespace interlock {

struct Costs {
  double forward_flops = 0;          // per microbatch
  double input_gradient_flops = 0;   // one pass that makes the gradient of the input only
  double weight_gradient_flops = 0;  // what the gradients of the parameters add to such a pass
  int64_t parameters = 0;            // how many numbers
  int64_t activation_bytes = 0;      // saved for backward, per microbatch alive

  Costs& operator+=(const Costs& other) {
    forward_flops += other.forward_flops;
    input_gradient_flops += other.input_gradient_flops;
    weight_gradient_flops += other.weight_gradient_flops;
    parameters += other.parameters;
    activation_bytes += other.activation_bytes;
    return *this;
  }
};

}  // namespace interlock
