#pragma once
// What a piece of a model costs, as plain numbers: enough to cut it into stages and to simulate a plan. Torch-free.

#include <algorithm>
#include <cstdint>

namespace interlock {

struct Costs {
  double forward_flops = 0;          // per microbatch
  double input_gradient_flops = 0;   // one pass that makes the gradient of the input only
  double weight_gradient_flops = 0;  // what the gradients of the parameters add to such a pass
  int64_t parameters = 0;            // how many numbers
  int64_t frozen = 0;                // of these, how many do not train: no gradient, no optimizer state
  int64_t copied = 0;                // numbers held as read-only copies of other parameters: no gradient, no state
  int64_t activation_bytes = 0;      // saved for backward, per microbatch alive
  // Alive at the peak of a pass beside all that is kept: parameters, their summed gradients, state, what is saved of
  // microbatches, and what is handed over. Not a sum but the most of any part, since parts are walked one by one.
  // Working memory of a fixed size, below 1 MiB, is not counted.
  int64_t working_bytes = 0;

  int64_t trained() const { return parameters - frozen; }
  Costs& operator+=(const Costs& other) {
    forward_flops += other.forward_flops;
    input_gradient_flops += other.input_gradient_flops;
    weight_gradient_flops += other.weight_gradient_flops;
    parameters += other.parameters;
    frozen += other.frozen;
    copied += other.copied;
    activation_bytes += other.activation_bytes;
    working_bytes = std::max(working_bytes, other.working_bytes);
    return *this;
  }
};

}  // namespace interlock
